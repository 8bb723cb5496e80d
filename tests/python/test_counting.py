"""Summaries go on from what is published by what came and went, and are whole ones' equals."""

import independent
import pandas as pd
import pytest

DAY = "2026-07-01"
NEXT = "2026-07-02"
NAMES = ("nps_summary", "nps_summary_monthly", "answerers")
ANSWERERS = """
with answers as (
    select * from {{ rows_to_count(ref('nps'), ['answered_at', 'user_id'], per='user_id') }}
),
counted as (
    select cast(answered_at as date) as "On", {{ count_different('user_id') }} as users
    from answers group by 1
)
{{ add_published('counted', '"On"', ['users']) }}
"""
MARTS = ("run", "--select", *NAMES)
NEW = {"LOADER_CHECKS": "new"}
UNSEEN = "update analytics.nps set score = {}, user_id = {} where response_id = 1"


@pytest.fixture(scope="module")
def counted(new_project):
    """A project whose summaries were published from a few answers, and may go on from there."""
    pipeline = new_project()
    replace_in(pipeline, "models/marts/_marts__models.yml", "{percent: 20}", "{percent: 1000000}")
    (pipeline.folder / "models" / "marts" / "answerers.sql").write_text(ANSWERERS)
    pipeline.start_anew()
    pipeline.mysql(
        "insert into nps (id, user_id, score, created_at, updated_at) select seq, "
        "mod(seq, 20) + 100 * (seq = 1), mod(seq * 7, 11), "
        f"'{DAY}' - interval mod(seq, 40) day, '{DAY}' from seq_1_to_99"
    )
    pipeline.load("--full-refresh")
    pipeline.build("run", "--select", "stg_prod__nps", "nps")
    pipeline.build(*MARTS)
    return pipeline


def replace_in(pipeline, file, old, new):
    path = pipeline.folder / file
    path.write_text(path.read_text().replace(old, new))


def assert_right(pipeline):
    """Compare the summaries with what MySQL says, computed elsewhere."""
    answered = independent.answers(pipeline)
    independent.assert_nps_equals(pipeline, answered, NAMES[0], "D")
    independent.assert_nps_equals(pipeline, answered, NAMES[1], "M")
    users = "select date(created_at), count(distinct user_id) from nps group by 1 order by 1"
    assert pipeline.query("table analytics.answerers order by 1") == [*pipeline.mysql(users)]


def goes_on(pipeline, *options, **changes):
    """Build the summaries as `loader run` does, over a row that nobody has landed.

    Returns whether they went on from what was published, and so have not seen that row.
    """
    score = pipeline.value("select score from analytics.nps where response_id = 1")
    pipeline.query(UNSEEN.format(10 - score, 999))
    pipeline.build(*MARTS, *options, **{**NEW, **changes})
    pipeline.query(UNSEEN.format(score, 101))
    try:
        assert_right(pipeline)
    except AssertionError:
        pipeline.build(*MARTS)
        assert_right(pipeline)
        return False
    return True


def written(pipeline):
    """Each row of the summary with the transaction that wrote it."""
    return set(pipeline.query("select answered_on, cast(xmin as text) from analytics.nps_summary"))


ROUNDS = (
    (
        f"update nps set score = 0, updated_at = '{NEXT}' where id = 2",
        f"update nps set score = null, updated_at = '{NEXT}' where id in (3, 4)",
        f"update nps set created_at = '2026-05-01', updated_at = '{NEXT}' where id between 5 and 9",
        f"insert into nps values (500, 1, 9, '2020-01-01', '{NEXT}', 0)",  # alone on its day
    ),
    (
        f"update nps set is_deleted = 1, updated_at = '{NEXT} 01:00:00' where id = 500",
        f"insert into nps values (501, 1, 9, '2026-06-30', '{DAY}', 0)",
    ),
    (f"update nps set is_deleted = 0, updated_at = '{NEXT} 02:00:00' where id = 500",),
)


def test_what_came_and_went_is_added_and_taken_away_whatever_it_is(counted):
    for changes in ROUNDS:
        counted.mysql(*changes)
        before = written(counted)
        counted.load("--start-date", DAY, "--end-date", "2026-07-03")
        if changes is ROUNDS[0]:
            counted.build("run", "--select", "nps", "--vars", f"run_date: {NEXT}")
        counted.build("run", "--select", "nps")
        assert goes_on(counted), changes
        if changes is ROUNDS[1]:  # nothing else is written
            days = {str(day) for day, _ in before ^ written(counted)}
            assert days == {"2020-01-01", "2026-06-30"}
    counted.mysql("delete from nps where id in (500, 6)")
    counted.loader("verify", "--select", "nps", "--repair", "--yes")
    counted.build("run", "--select", "nps")
    assert goes_on(counted)
    counted.mysql("delete from nps where id in (501, 7)", "update nps set score = 5 where id = 8")
    counted.load("--full-refresh", "--select", "nps")
    counted.build("run", "--select", "nps")
    assert goes_on(counted)
    assert goes_on(counted)  # where nothing happened
    shown = counted.build("show", "--select", "nps", "--limit", "3", "--output", "json")
    assert shown.count('"response_id": ') == 3
    # What every summary has counted is not kept; one that has not counted it counts everything.
    assert counted.value("select count(*) from archive._changes_nps") < 20
    counted.query("update analytics._publications set counted = ''")
    counted.build(*MARTS, **NEW)
    assert_right(counted)


@pytest.mark.deep(because="it builds thirty times; a changed rule is tried always")
def test_everything_is_counted_where_it_may_be_another(counted):
    published = "analytics.nps_summary"
    assert goes_on(counted)
    assert not goes_on(counted, LOADER_CHECKS="all")
    assert not goes_on(counted, LOADER_CHECKS=None)
    assert not goes_on(counted, "--full-refresh")
    assert goes_on(counted)
    counted.query(f"update {published} set detractors = detractors + 1, passives = passives - 1")
    assert not goes_on(counted)
    counted.query(f"delete from {published} where responses < 3")
    counted.query(f"insert into {published} select * from {published} limit 2")
    assert not goes_on(counted)
    assert goes_on(counted)
    counted.build("run", "--select", "nps", "--full-refresh")
    assert not goes_on(counted)
    counted.query("drop table archive._changes_nps")
    assert not goes_on(counted)
    counted.build("run", "--select", "nps")
    assert not goes_on(counted)
    assert goes_on(counted)
    for file, *texts in (
        ("macros/nps.sql", "not is_deleted", "not is_deleted and current_date > '2020-01-01'"),
        (f"models/marts/{NAMES[0]}.sql", "* from scored", "*, cast(1 as float) as f from scored"),
    ):
        replace_in(counted, file, *texts)
        counted.build(*MARTS)
        assert not goes_on(counted), file
        replace_in(counted, file, *reversed(texts))
    counted.build(*MARTS)


def test_a_changed_rule_counts_for_every_row_and_for_none_that_is_held_meanwhile(counted):
    assert goes_on(counted)
    whole = "sum(case when band = 'promoter' then answer_count else 0 end)"
    half = f"cast(0.5 * {whole} as numeric(12, 1))"
    replace_in(counted, "macros/nps.sql", whole, half)
    promoters = "select sum(promoters) from analytics.nps_summary"
    published = counted.value(promoters)
    for _ in range(2):  # whole, then only what came and went
        counted.build(*MARTS, **NEW)
        assert counted.value(promoters) * 2 == published
    held = "{% do mysql_to_redshift.restore_published(model.name, hold=true) if not only_tag %}"
    replace_in(
        counted, "macros/run_checks.sql", "{{ return(failed) }}", held + "{{ return(failed) }}"
    )
    assert "nps_summary stays as it is: somebody holds it" in counted.build(*MARTS)
    assert counted.value(promoters) == published
    counted.query("delete from analytics._held_back")
    replace_in(counted, "macros/run_checks.sql", held, "")
    replace_in(counted, "macros/nps.sql", half, whole)
    assert not goes_on(counted)


VISITORS = """
with visits as (
    select * from {{ rows_to_count(ref('sessions'), ['user_id', 'session_id'], per='user_id') }}
    where copies = 1
),
counted as (select user_id as "Who", count(*) as visits from visits group by 1),
visitors as ({{ keep_published_others('counted', per='"Who"') }})
select *, cast(visits / 2.0 as numeric(12, 1)) as half from visitors
"""
OF_VISITS = (
    "visitors", "channel_summary", "channel_performance", "active_users_monthly",
    "sessions_by_hour",
)  # fmt: skip
CORES = ("user_session_channel", "session_timestamp", "session_transaction", "channel")


@pytest.fixture(scope="module")
def visited(new_project):
    """A project whose summaries of visits were published, and may go on from there.

    Of 40 users each has five visits, in five months and at five hours; every third visit is paid
    for, some have no time, and nobody ever changes anything of user 1. Nobody is user 39.
    """
    pipeline = new_project()
    staged, guest = "staging/stg_prod__user_session_channel.sql", "nullif(userid, 39) as"
    pipeline.edit(staged, "userid as", guest)
    (pipeline.folder / "models" / "marts" / "visitors.sql").write_text(VISITORS)
    pipeline.edit("core/_core__models.yml", "[user_id, channel_name, created_at]", "[created_at]")
    replace_in(pipeline, "models/marts/_marts__models.yml", "{percent: 20}", "{percent: 1000000}")
    pipeline.start_anew()
    visit = "from seq_0_to_199"
    pipeline.mysql(
        "insert into channel values ('Google'), ('Direct'), ('Naver'), ('Organic')",
        "insert into user_session_channel (userid, sessionid, channel, created_at) select "
        "1 + seq div 5, concat('s', seq), elt(1 + mod(seq * 7, 4), 'Google', 'Direct', 'Naver', "
        f"'Organic'), '{DAY}' {visit}",
        "insert into session_timestamp (sessionid, ts) select concat('s', seq), '2026-01-31' + "
        f"interval mod(seq, 5) month + interval mod(seq, 7) hour {visit} where mod(seq, 11) < 10",
        "insert into session_transaction (sessionid, refunded, amount, updated_at) select "
        f"concat('s', seq), mod(seq, 2), seq, '{DAY}' {visit} where mod(seq, 3) = 0",
    )
    pipeline.load("--full-refresh")
    pipeline.build("seed")
    pipeline.build("run", "--select", "stg_prod__*", *CORES, "sessions", *OF_VISITS)
    return pipeline


def assert_visits_right(pipeline):
    """Compare the four summaries with what MySQL says, computed elsewhere."""
    visits = independent.visits(pipeline).replace({"user": 39}, pd.NA)
    independent.assert_channels_equal(pipeline, visits.dropna(subset=["user"]))
    independent.assert_performance_equals(pipeline, visits)
    independent.assert_active_users_equal(pipeline, visits)
    independent.assert_hours_equal(pipeline, visits)
    users = "select userid, count(*), count(*) / 2 from user_session_channel where userid <> 39"
    built = pipeline.query("select * from analytics.visitors order by 1")
    assert built == [*pipeline.mysql(f"{users} group by 1 order by 1")]


def visits_go_on(pipeline, *names):
    """Build the summaries as `loader run` does, over a visit that nobody has landed."""
    unseen = (
        "update analytics.session_timestamp set session_at = session_at {} interval '33 days 2 "
        "hours' where session_id = 's0'"
    )
    pipeline.query(unseen.format("+"))
    pipeline.build("run", "--select", *(names or OF_VISITS), **NEW)
    pipeline.query(unseen.format("-"))
    assert_visits_right(pipeline)


def of_user(user):
    return ", ".join(f"'s{visit}'" for visit in range(5 * user - 5, 5 * user))


TOUCHED = (
    (  # another time, month, channel, user; a payment that comes, changes, is given back
        "update session_timestamp set ts = ts - interval 1 year where sessionid = 's5'",
        "update session_timestamp set ts = ts + interval 2 hour where sessionid in ('s6', 's7')",
        "update user_session_channel set channel = 'Direct' where sessionid in ('s10', 's11')",
        "update user_session_channel set userid = 40 where sessionid = 's20'",
        f"insert into session_transaction values ('s22', 0, 12.34, '{NEXT}')",
        f"update session_transaction set amount = 0.5, updated_at = '{NEXT}' "
        "where sessionid in ('s30', 's33')",
        "update session_transaction set refunded = 1 - refunded where sessionid in ('s36', 's39')",
    ),
    (  # what goes: a visit of which the rest stays, a time, a payment, a user, a month, a channel
        "delete from user_session_channel where sessionid in ('s44', 's45')",
        "delete from session_timestamp where sessionid in ('s50', 's51')",
        "delete from session_transaction where sessionid = 's60'",
        *(f"delete from {table} where sessionid in ({of_user(15)})" for table in CORES[:3]),
        "update user_session_channel set userid = 16 where sessionid in "
        f"({of_user(17)}, {of_user(18)})",
        "update session_timestamp set ts = '2026-02-03' where ts between '2026-03-01' and "
        f"'2026-04-01' and sessionid not in ({of_user(1)})",
        "update user_session_channel set channel = 'Naver' where channel = 'Google' and "
        f"sessionid not in ({of_user(1)})",
    ),
    (  # what comes back, and what is new
        f"insert into user_session_channel values (9, 's44', 'Organic', '{DAY}')",
        "insert into session_timestamp values ('s50', '2026-01-01 23:59:59')",
        f"insert into user_session_channel values (99, 'new', 'Unheard', '{DAY}')",
        "insert into session_timestamp values ('new', '2025-12-31 12:00:00')",
        f"insert into session_transaction values ('new', 0, 1.01, '{NEXT}')",
        f"insert into user_session_channel values (100, 'timeless', 'Direct', '{DAY}')",
        "update user_session_channel set userid = if(userid = 39, 30, 39) where sessionid in "
        "('s140', 's141', 's190', 's191')",  # some get a user, and others have none any more
    ),
    (  # of the one who came through a channel that nobody knows
        *(f"delete from {table} where sessionid = 'new'" for table in CORES[:3]),
    ),
)  # fmt: skip


def test_users_that_are_touched_are_looked_at_anew_and_no_others(visited):
    for changes in TOUCHED:
        before = dict(visited.query("select user_id, xmin::text from analytics.channel_summary"))
        visited.mysql(*changes)
        visited.load("--full-refresh")
        visited.build("run", "--select", *CORES)
        visits_go_on(visited)
        after = dict(visited.query("select user_id, xmin::text from analytics.channel_summary"))
        unwritten = [user for user, written in before.items() if after.get(user) == written]
        assert len(unwritten) > (15 if changes is TOUCHED[1] else 30)
        back = "{model: channel_summary, dry_run: true}"
        said = visited.build("run-operation", "restore_published", "--args", back)
        assert "would go back" in said
    visits_go_on(visited)  # where nothing happened


def test_what_came_and_went_between_two_publishes_touches_nobody(visited):
    update = "update session_timestamp set ts = ts {} interval 1 day where sessionid = 's25'"
    for way in "+-":
        visited.mysql(update.format(way))
        visited.load("--full-refresh", "--select", "session_timestamp")
        visited.build("run", "--select", *CORES)
    assert visited.value("select count(*) from archive._changes_session_timestamp") >= 4
    visits_go_on(visited)


def test_nobody_is_lost_where_somebody_changes_the_columns_meanwhile(visited):
    rows = "select count(*) from analytics.visitors"
    before = visited.value(rows)
    added = "{% do run_query('alter table ' ~ this ~ ' add column odd int') if not only_tag %}"
    replace_in(
        visited, "macros/run_checks.sql", "{{ return(failed) }}", added + "{{ return(failed) }}"
    )
    visited.mysql("update session_timestamp set ts = ts + interval 1 day where sessionid = 's35'")
    visited.load("--full-refresh", "--select", "session_timestamp")
    visited.build("run", "--select", "session_timestamp")
    said = visited.build_fails("run", "--select", "visitors", **NEW)
    assert 'visitors" was not published: somebody has changed its columns meanwhile' in said
    assert visited.value(rows) == before
    replace_in(visited, "macros/run_checks.sql", added, "")
    visits_go_on(visited)


@pytest.mark.deep(because="it builds a dozen times; what goes on is tried always")
def test_another_view_or_another_channel_counts_everything(visited):
    def counts_everything(*names):
        with pytest.raises(AssertionError):
            visits_go_on(visited, *names)
        visited.build("run", "--select", *OF_VISITS)

    visited.build("run", "--select", *OF_VISITS)
    visits_go_on(visited)
    view, refunded = "models/core/sessions.sql", "coalesce(session_transaction.is_refunded, false)"
    for text in ("session_transaction.is_refunded is true", "{{ 'not not ' }}" + refunded):
        replace_in(visited, view, refunded, text)
        counts_everything()
        if "{" in text:  # SQL that cannot be had over other tables
            counts_everything()
        else:
            visits_go_on(visited)
            visited.build("run", "--select", "sessions")  # which is another view only now
            counts_everything()
            visits_go_on(visited)
        replace_in(visited, view, text, refunded)
    counts_everything()
    came = ("macros/checked_table.sql", "not mysql_to_redshift.is_of_one_state(state)", "true")
    replace_in(visited, *came)  # something has come meanwhile
    counts_everything()
    replace_in(visited, came[0], "{%- if state and true -%}", f"{{%- if state and {came[1]} -%}}")
    visited.mysql("insert into channel values ('Untried')")
    visited.load("--full-refresh", "--select", "channel")
    visited.build("run", "--select", "channel")
    counts_everything("channel_performance")
    visits_go_on(visited)
    visited.load("--full-refresh", "--select", "channel")  # the same again
    visited.build("run", "--select", "channel")
    visits_go_on(visited)
    if not visited.standin:  # a column of which no two values can be compared
        stage, now = "models/staging/stg_prod__session_timestamp.sql", "ts as session_at,"
        replace_in(visited, stage, now, f"cast('1' as json) as details, {now}")
        visited.mysql("update session_timestamp set ts = '2026-02-02' where sessionid = 's8'")
        visited.load("--full-refresh", "--select", "session_timestamp")
        visited.build("run", "--select", "stg_prod__session_timestamp", "session_timestamp")
        counts_everything()
        counts_everything()
