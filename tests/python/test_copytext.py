"""What COPY reads must be what MySQL holds; anything else must stop the load by name."""

import csv
import io

import pytest

from loader.errors import SourceError
from loader.source.copytext import CHANGED, NULL, REFUSED, SEPARATOR, Form, to_copy_text

TEXT = Form()
COLUMNS = ("id", "name")
CSV = Form(null="NULL 1")


def convert(*rows, suffix=b"\n", form=TEXT):
    joined = [SEPARATOR.join(fields) for fields in rows]
    return to_copy_text(joined, COLUMNS, ("id",), suffix, form)


def test_null_and_the_empty_string_stay_different():
    assert convert((b"1", NULL), (b"2", b""))[0] == b"1\t\\N\n2\t\n"
    assert convert((b"1", NULL), (b"2", b""), form=CSV)[0] == b'"1",NULL 1\n"2",""\n'


def test_what_means_something_to_copy_is_escaped_by_itself():
    # A letter after the backslash (\t, \n) would arrive as that letter on Redshift.
    text = convert((b"1", b"a\tb\nc\rd\\e"))[0]
    assert text == b"1\ta\\\tb\\\nc\\\rd\\\\e\n"
    value = b'"a,\t""b\nc\rd\\'
    text = convert((b"1", value), form=CSV)[0]
    assert text == b'"1","""a,\t""""b\nc\rd\\"\n'
    assert list(csv.reader(io.StringIO(text.decode(), newline=""))) == [["1", value.decode()]]


def test_the_loaders_columns_end_every_line():
    assert convert((b"1", b"a"), (b"2", b"b"), suffix=b"\tx\n")[0] == b"1\ta\tx\n2\tb\tx\n"
    text = convert((b"1", b"a"), (b"2", b"b"), suffix=CSV.ending("xy"), form=CSV)[0]
    assert text == b'"1","a","x","y"\n"2","b","x","y"\n'
    assert TEXT.ending("xy") == b"\tx\ty\n"


def test_rows_are_not_held_beside_their_copy():
    rows = [b"1", b"2"]
    assert to_copy_text(rows, COLUMNS, ("id",), b"\n")[0] == b"1\n2\n"
    assert rows == []


def test_changed_values_are_counted_and_lose_their_mark():
    for form, data in ((TEXT, b"1\tcut\n2\t\\N\n"), (CSV, b'"1","cut"\n"2",NULL 1\n')):
        converted = convert((b"1", CHANGED + b"cut"), (b"2", CHANGED + NULL), form=form)
        assert converted == (data, {"name": 2})


@pytest.mark.parametrize(
    ("null", "value", "size"),
    [("", b"\t" * 90, 183), ("NULL", b'"' * 90, 187), ("", b"x" * 90, 93)],
)
def test_a_row_is_as_long_as_it_is_staged(null, value, size):
    rows = ((b"6", b""), (b"7", CHANGED + value))
    convert(*rows, form=Form(row_bytes=size, null=null))
    with pytest.raises(SourceError, match=f"id 7: its row takes {size} bytes, of which COPY takes"):
        convert(*rows, form=Form(row_bytes=size - 1, null=null))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"a\0b", r"id 2: column name holds a NUL character: 'a\\x00b'"),
        (REFUSED + b"0000-00-00", "id 2: column name has no equal in the warehouse: '0000-00-00'"),
        (b"caf\xe9", "id 2: column name is not valid UTF-8"),
        (b"a\xffb", "id 2: column name is not valid UTF-8"),
        (b"a\xfbb", "id 2: column name is not valid UTF-8"),
        (b"a\xfcb caf\xe9", "id 2: column name is not valid UTF-8"),  # what ends a row
        (b"\xffabc", "id 2: column name is not valid UTF-8"),  # no NULL: more follows
        (b"\xfb\xffabc", "id 2: column name is not valid UTF-8"),
    ],
)
@pytest.mark.parametrize("form", [TEXT, CSV])
def test_a_value_that_cannot_land_is_named_with_its_key_and_column(value, message, form):
    with pytest.raises(SourceError, match=message):
        convert((b"1", NULL), (b"2", value), form=form)


def test_a_key_that_cannot_be_shown_as_text_is_shown_all_the_same():
    with pytest.raises(SourceError, match="id 0000-00-00: column id has no equal"):
        convert((REFUSED + b"0000-00-00", b"x"))
