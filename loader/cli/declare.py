"""The command that declares tables."""

import sys
from pathlib import Path

import click

from loader.cli import options
from loader.cli.options import Names
from loader.cli.session import open_session
from loader.declare.choose import Chooser, Proposal
from loader.declare.survey import differences, survey
from loader.declare.write import names_taken, new_files, write_whole
from loader.errors import printable
from loader.source import mysql


@click.command(
    short_help="Declare tables of MySQL that nobody has declared yet.",
    epilog=options.examples(
        "loader declare 'shop.*' --dry-run        what would be declared, and why",
        "loader declare 'shop.*' --except 'shop.tmp_*'",
        "loader declare 'shop.*' --check          for CI: 1 if MySQL and declarations differ",
    ),
)
@click.argument("patterns", nargs=-1, required=True, metavar="DATABASE.TABLE ...")
@click.option("--except", "excepted", multiple=True, metavar="PATTERN", help="But not these.")
@click.option("--dry-run", is_flag=True, help="Print what would be written, and write nothing.")
@click.option("--check", is_flag=True, help="Write nothing; exit status 1 if anything differs.")
@options.target
def declare(
    patterns: Names, excepted: Names, dry_run: bool, check: bool, target: str | None
) -> None:
    """Declare tables: a source table and a core model each, and what both are tested for.

    Chooses key, cursor and how columns land from what MySQL says of a table. What is declared
    already stays as it is; how MySQL has changed since is told. Columns that look personal are
    marked: their tables do not land before somebody says how.
    """
    session = open_session(target)
    folder, tables = Path.cwd(), session.tables.values()
    dialect = session.warehouse().dialect  # it is not connected to
    with mysql.connect(session.settings.mysql) as source:
        found, views, there = survey(source, patterns, excepted)
        differing = list(differences(found, there, tables, patterns, dialect))
        taken = names_taken(folder, session.tables)
        chooser = Chooser(source=source, dialect=dialect, zone=session.settings.zone)
        new = list(chooser.proposals(found, tables, taken))
    files = new_files(folder, session.schema, [each for each in new if each.table])
    for proposal in new:
        _show(proposal)
    for sentence in differing:
        click.echo(printable(sentence))
    if left := [each for each in views if each not in {table.place for table in tables}]:
        said = f"Views are declared by their whole names alone. Left out: {', '.join(left)}"
        click.echo(printable(said))
    if check:
        undeclared = sum(each.table is not None for each in new)
        click.echo(f"Tables not declared: {undeclared}; differences: {len(differing)}.")
        sys.exit(1 if undeclared or differing else 0)
    if dry_run:
        for file, text in files.items():
            click.echo(f"\n{file.relative_to(folder)}\n\n{text}", nl=False)
        click.echo("\nNothing was written.")
        return
    for file, text in files.items():
        write_whole(file, text)
    _end(folder, files, new)


def _show(proposal: Proposal) -> None:
    place, table = proposal.found.place, proposal.table
    if table is None:
        click.echo(printable(f"{place}: left out: {'; '.join(proposal.remarks)}"))
        return
    how = f"days of {table.cursor}" if table.cursor else "copied whole"
    how = "compared" if table.is_compared else how
    how += f" ({table.cursor.kind})" if table.cursor and table.cursor.kind else ""
    key = f"key {', '.join(table.primary_key)}" if table.primary_key else "no key"
    click.echo(printable(f"{place}: {table.name}, {key}, {how}"))
    remarks = [*proposal.remarks]
    if dropped := [name for name, policy in table.policies.items() if policy.mask == "drop"]:
        remarks.append(f"left out, because they look like secrets: {', '.join(dropped)}")
    if proposal.undecided:
        remarks.append(f"personal, so that somebody has to decide: {', '.join(proposal.undecided)}")
    for remark in remarks:
        click.echo(printable(f"    {remark}"))


def _end(folder: Path, files: dict[Path, str], new: list[Proposal]) -> None:
    count = sum(each.table is not None for each in new)
    undecided = sum(bool(each.undecided) for each in new)
    yaml = ", ".join(str(file.relative_to(folder)) for file in files if file.suffix == ".yml")
    where = f" in {yaml}, each with a model in models/core" if count else ""
    told = f"Tables declared: {count} of {len(new)}{where}." if new else "All are declared already."
    click.echo(f"\n{told}")
    if undecided:
        click.echo(
            f"Tables with personal columns: {undecided}. Say how each column lands, with loader: "
            "{mask: hash} (which asks for LOADER_MASK_SALT), drop or none, beside its pii: true "
            "(docs/adding-a-table.md)."
        )
    if count:
        click.echo(f"Next: {'that, then ' if undecided else ''}loader check; loader run")
