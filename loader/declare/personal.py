"""Which columns look personal, by their names."""

import re

from loader.declared.policies import Policy
from loader.source.texts import BINARIES, TEXTS, Column

_SECRET = re.compile(
    r"passw|(?:^|_)(?:new)?pass\d?(?:$|_)|pwd|secret(?!ar)|(?:private|api|access)_?key|"
    r"salt(?:$|_)|(?:^|_)otp(?:$|_)|credential"
)
_PERSONAL = re.compile(
    r"e_?mail|(?:^|_)mail$|phone|mobile|(?:^|_)fax|birth|(?:^|_)dob|token|iban|(?:^|_)bic(?:$|_)|"
    r"card_?n|ccnum|(?:^|_)cv[cv]|(?:^|_)ssn|passport|tax_?(?:id|n)|vat_?n|"
    r"(?:first|last|full|middle|sur|family|given|maiden|user|nick)_?name|(?:^|_)login$|address|"
    r"street|post_?code|postal|(?:^|_)zip|(?:^|_)(?:last|first)?ip(?:$|_)|gender|(?:^|_)sex(?:$|_)"
)
# Of numbers and days only those that tell who somebody is: most are counts, keys or events.
_OF_ONE = re.compile(r"phone|mobile|birth|(?:^|_)dob|card_?n|ccnum|(?:^|_)ssn|tax_?n|passport")


def words_of(name: str) -> str:
    """Write a column's name in lower case, its words joined by underscores."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|\W+", "_", name).lower()


def personal(column: Column) -> Policy:
    """Tell from a column's name whether its values are personal, or a secret that nobody needs.

    >>> personal(Column(name="homePhone", data_type="varchar", column_type="varchar(9)")).pii
    True
    >>> personal(Column(name="password_hash", data_type="char", column_type="char(60)")).mask
    'drop'
    """
    words = words_of(column.name)
    if column.data_type in TEXTS | BINARIES and _SECRET.search(words):
        return Policy(pii=True, mask="drop")
    if column.data_type in TEXTS | BINARIES:
        return Policy(pii=bool(_PERSONAL.search(words)))
    return Policy(pii=bool(_OF_ONE.search(words)) and not words.endswith("_id"))
