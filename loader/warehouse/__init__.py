"""Landing in the warehouse: one class per adapter behind one small base."""

from loader.declared.profile import Profile, render_schema
from loader.declared.settings import Settings
from loader.warehouse.base import Warehouse
from loader.warehouse.landing import Landing
from loader.warehouse.postgres import Postgres
from loader.warehouse.redshift import Redshift

__all__ = ["Landing", "Warehouse", "open_warehouse"]

_ADAPTERS: dict[str, type[Warehouse]] = {"postgres": Postgres, "redshift": Redshift}


def open_warehouse(profile: Profile, source_schema: str, settings: Settings) -> Warehouse:
    """Prepare a warehouse; it connects when it is first asked something.

    Args:
        source_schema: the source's schema as the dbt YAML has it, Jinja included.
    """
    return _ADAPTERS[profile.type](profile, render_schema(source_schema, profile), settings)
