"""Which columns look personal, by their names."""

import re

from loader.declared.policies import Policy
from loader.source.texts import BINARIES, DATES, TEXTS
from loader.source.types import Column

_SECRET = re.compile(r"passw|pwd|secret(?!ar)|(?:private|api|access)_?key|(?:^|_)salt(?:$|_)")
_PERSONAL = re.compile(
    r"e_?mail|phone|mobile|(?:^|_)fax|birth|(?:^|_)dob|token|iban|(?:^|_)bic(?:$|_)|"
    r"card_?n|ccnum|(?:^|_)cv[cv]|(?:^|_)ssn|passport|tax_?(?:id|n)|vat_?n|"
    r"(?:first|last|full|middle|sur|family|given|maiden)_?name|address|street|"
    r"post_?code|postal|(?:^|_)zip|(?:^|_)ip(?:$|_)|gender|(?:^|_)sex(?:$|_)"
)
# Of numbers only those that tell who somebody is: most are counts, or keys of other tables.
_PERSONAL_NUMBER = re.compile(r"phone|mobile|birth|card_?n|ccnum|(?:^|_)ssn|tax_?n|passport")


def words_of(name: str) -> str:
    """Write a column's name in lower case, its words joined by underscores."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\W+", "_", name).lower()


def personal(column: Column) -> Policy:
    """Tell from a column's name whether its values are personal, or a secret that nobody needs.

    >>> personal(Column(name="homePhone", data_type="varchar", column_type="varchar(9)")).pii
    True
    >>> personal(Column(name="password_hash", data_type="char", column_type="char(60)")).mask
    'drop'
    >>> personal(Column(name="address_id", data_type="int", column_type="int")).pii
    False
    """
    words = words_of(column.name)
    if column.data_type in TEXTS | BINARIES and _SECRET.search(words):
        return Policy(pii=True, mask="drop")
    if column.data_type in TEXTS | BINARIES | DATES:
        return Policy(pii=bool(_PERSONAL.search(words)))
    return Policy(pii=bool(_PERSONAL_NUMBER.search(words)) and not words.endswith("_id"))
