-- What Redshift has in every database and PostgreSQL has not, or has with another meaning.
-- Installed by a superuser into the template of the stand-in's databases.
set allow_system_table_mods = on;
set search_path = pg_catalog;

-- VARBYTE(n): bytea's functions under another name, with a size.
create type varbyte;
create function varbyte_in(cstring) returns varbyte language internal immutable strict as 'byteain';
create function varbyte_out(varbyte) returns cstring language internal immutable strict as 'byteaout';
create function varbyte_recv(internal) returns varbyte language internal immutable strict as 'bytearecv';
create function varbyte_send(varbyte) returns bytea language internal immutable strict as 'byteasend';
create type varbyte (
    input = varbyte_in, output = varbyte_out, receive = varbyte_recv, send = varbyte_send,
    typmod_in = varbittypmodin, typmod_out = varbittypmodout,
    internallength = variable, alignment = int4, storage = extended
);
create cast (varbyte as bytea) without function as implicit;
create cast (bytea as varbyte) without function as assignment;
create function from_varbyte(varbyte, text) returns text language sql immutable strict
    as $$ select case lower($2) when 'hex' then encode($1::bytea, 'hex') else convert_from($1::bytea, 'utf8') end $$;

-- Functions.
create function getdate() returns timestamp language sql stable
    as $$ select date_trunc('second', current_timestamp at time zone 'UTC') $$;
create function len(text) returns integer language sql immutable strict as $$ select length($1) $$;
create function charindex(text, text) returns integer language sql immutable strict as $$ select strpos($2, $1) $$;
create function trunc(timestamp) returns date language sql immutable strict as $$ select $1::date $$;
create function last_day(timestamp) returns date language sql immutable strict
    as $$ select (date_trunc('month', $1) + interval '1 month' - interval '1 day')::date $$;
create function convert_timezone(text, timestamp) returns timestamp language sql stable strict
    as $$ select $2 at time zone 'UTC' at time zone $1 $$;
create function convert_timezone(text, text, timestamp) returns timestamp language sql stable strict
    as $$ select $3 at time zone $1 at time zone $2 $$;
create function dateadd(text, bigint, timestamp) returns timestamp language sql immutable strict
    as $$ select $3 + ($2::text || ' ' || $1)::interval $$;
create function datediff(text, timestamp, timestamp) returns bigint language sql immutable strict
    as $$
        select case lower($1)
            when 'year' then extract(year from $3) - extract(year from $2)
            when 'month' then 12 * (extract(year from $3) - extract(year from $2))
                + extract(month from $3) - extract(month from $2)
            when 'week' then ($3::date - $2::date) / 7
            when 'day' then $3::date - $2::date
            when 'hour' then extract(epoch from date_trunc('hour', $3) - date_trunc('hour', $2)) / 3600
            when 'minute' then extract(epoch from date_trunc('minute', $3) - date_trunc('minute', $2)) / 60
            when 'microsecond' then extract(epoch from $3 - $2) * 1000000
            when 'second' then extract(epoch from date_trunc('second', $3) - date_trunc('second', $2))
        end::bigint
    $$;
create function strtol(text, integer) returns bigint language sql immutable strict
    as $$ select case $2 when 16 then ('x' || lpad($1, 16, '0'))::bit(64)::bigint end $$;
create function from_hex(text) returns varbyte language sql immutable strict
    as $$ select decode($1, 'hex')::varbyte $$;
create function sha2(text, integer) returns text language sql immutable strict
    as $$ select case $2 when 256 then encode(sha256(convert_to($1, 'UTF8')), 'hex') end $$;
create function st_makepoint(double precision, double precision) returns point
    language sql immutable strict as $$ select point($1, $2) $$;
create function st_ashexwkb(point) returns text language sql immutable strict
    as $$
        -- A double's bytes are sent in the other order.
        select '0101000000' || upper(string_agg(
            regexp_replace(reverse(encode(float8send(number), 'hex')), '(.)(.)', E'\\2\\1', 'g'), ''
            order by place))
        from unnest(array[$1[0], $1[1]]) with ordinality as coordinates (number, place)
    $$;
create function pg_last_copy_count() returns bigint language sql stable
    as $$ select coalesce(nullif(current_setting('standin.copy_count', true), ''), '0')::bigint $$;

-- AVG of integers is an integer, cut off; REGEXP_REPLACE replaces every match.
update pg_proc set proname = 'postgres_' || proname
where pronamespace = 'pg_catalog'::regnamespace and (
    (proname = 'avg' and proargtypes::text in ('20', '21', '23'))
    or (proname = 'regexp_replace' and pronargs = 3)
);
create function standin_mean(bigint[]) returns bigint language sql immutable
    as $$ select $1[1] / nullif($1[2], 0) $$;
do $do$
declare
    kind text;
begin
    foreach kind in array array['smallint', 'integer', 'bigint'] loop
        execute format(
            'create function standin_add(bigint[], %s) returns bigint[] language sql immutable '
            'strict as $$ select array[$1[1] + $2, $1[2] + 1] $$', kind
        );
        execute format(
            'create aggregate avg(%s) (sfunc = standin_add, stype = bigint[], '
            'finalfunc = standin_mean, initcond = %L)', kind, '{0,0}'
        );
    end loop;
end
$do$;
create function regexp_replace(text, text, text) returns text language sql immutable strict
    as $$ select regexp_replace($1, $2, $3, 'g') $$;

-- Blanks at the end mean nothing when VARCHAR is compared, grouped, joined or ordered: PostgreSQL
-- has that for CHAR, of the same bytes. (MIN and MAX keep PostgreSQL's own order.)
update pg_operator set oprcode = bpchar.code
from (
    select oprname as name, oprcode as code from pg_operator
    where oprleft = 'bpchar'::regtype and oprright = 'bpchar'::regtype
) as bpchar
where oprname = bpchar.name and oprleft = 'text'::regtype and oprright = 'text'::regtype
    and oprname in ('=', '<>', '<', '<=', '>', '>=');
update pg_amproc set amproc = bpchar.amproc
from pg_amproc as bpchar
where pg_amproc.amproclefttype = 'text'::regtype and pg_amproc.amprocrighttype = 'text'::regtype
    and bpchar.amproclefttype = 'bpchar'::regtype and bpchar.amprocrighttype = 'bpchar'::regtype
    and bpchar.amprocnum = pg_amproc.amprocnum and pg_amproc.amprocnum in (1, 2)
    and (pg_amproc.amprocfamily, bpchar.amprocfamily) in (
        select ours.oid, theirs.oid from pg_opfamily as ours
        inner join pg_opfamily as theirs on theirs.opfmethod = ours.opfmethod
        where ours.opfname = 'text_ops' and theirs.opfname = 'bpchar_ops'
            and ours.opfmethod in (select oid from pg_am where amname in ('btree', 'hash'))
    );

-- What a table was declared with, and VARCHAR(n) counted in bytes.
create table standin_design (relation oid primary key, diststyle text, sortkeys text);
grant select, insert, update, delete on standin_design to public;
create procedure record_design(relation text, diststyle text, sortkeys text) language sql
    as $$
        insert into standin_design values (relation::regclass, diststyle, sortkeys)
        on conflict (relation) do nothing
    $$;
create procedure limit_bytes(relation text) language plpgsql as $$
declare
    found record;
begin
    if exists (select 1 from pg_attribute where attrelid = relation::regclass and attname = 'oid') then
        raise exception 'column name "oid" conflicts with a system column name';
    end if;
    for found in
        select attname, atttypmod - 4 as longest
        from pg_attribute
        where
            attrelid = relation::regclass and attnum > 0 and not attisdropped
            and atttypid = 'varchar'::regtype and atttypmod > 4
            and not exists (
                select 1 from pg_constraint
                where conrelid = attrelid and contype = 'c' and conkey = array[attnum]
            )
    loop
        execute format(
            'alter table %s add constraint %I check (octet_length(%I) <= %s)',
            relation::regclass, 'value too long for type character varying(' || found.longest || ') '
            || found.attname, found.attname, found.longest
        );
    end loop;
end
$$;
-- A late-binding view does not stand in the way of a column that is dropped and comes back; it is
-- replaced by a query of the same columns only.
create table standin_late_views (
    name text primary key, id oid, columns text, definition text, is_bound boolean
);
grant select, insert, update, delete on standin_late_views to public;
create procedure keep_late_view(view text) language plpgsql as $$
declare
    now_columns text := (
        select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
        from pg_attribute where attrelid = view::regclass
    );
begin
    if exists (
        select 1 from standin_late_views where standin_late_views.id = view::regclass::oid and columns <> now_columns
    ) then
        raise exception 'cannot change the columns of view % by replacing it', view;
    end if;
    delete from standin_late_views where name = view;
    insert into standin_late_views
    values (view, view::regclass, now_columns, pg_get_viewdef(view::regclass), true);
end
$$;
create procedure drop_column(relation text, dropped text, rest text) language plpgsql as $$
declare
    found record;
begin
    if exists (
        select 1 from standin_design
        where
            standin_design.relation = drop_column.relation::regclass
            and btrim(dropped, '"') in (
                select unnest(string_to_array(sortkeys, ',')) union all
                select substring(diststyle from '^KEY\((.*)\)$')
            )
    ) then
        raise exception 'cannot drop column % of %: it is the distkey or a sortkey', dropped, relation;
    end if;
    for found in
        with recursive reading as (
            select relation::regclass::oid as id, 0 as depth
            union
            select rule.ev_class, reading.depth + 1
            from reading
            inner join pg_depend on refobjid = reading.id and classid = 'pg_rewrite'::regclass
            inner join pg_rewrite as rule on rule.oid = objid and rule.ev_class <> reading.id
        )

        select name from reading
        inner join standin_late_views on to_regclass(name) = reading.id
        group by name order by max(depth) desc
    loop
        execute 'drop view if exists ' || found.name;
        update standin_late_views set is_bound = false where name = found.name;
    end loop;
    execute format('alter table %s drop column %s %s', relation, dropped, rest);
end
$$;
create procedure bind_late_views() language plpgsql as $$
declare
    found record;
begin
    -- Another table of the view may be widened at the same time: the last one binds it.
    perform set_config('lock_timeout', '200', true);
    for found in select name, definition from standin_late_views where not is_bound loop
        begin
            execute 'create view ' || found.name || ' as ' || found.definition;
            call keep_late_view(found.name);
        exception when others then null;  -- it is found out when it is read
        end;
    end loop;
    perform set_config('lock_timeout', '0', true);
end
$$;
create view svv_table_info as
select
    current_database()::text as "database",
    nspname::text as "schema",
    pg_class.oid as table_id,
    relname::text as "table",
    'Y'::text as encoded,
    coalesce(diststyle, 'AUTO(ALL)') as diststyle,
    coalesce(nullif(split_part(sortkeys, ',', 1), ''), 'AUTO(SORTKEY)') as sortkey1,
    0 as max_varchar,
    'az64'::text as sortkey1_enc,
    case when sortkeys <> '' then cardinality(string_to_array(sortkeys, ',')) else 0 end as sortkey_num,
    1::bigint as size,
    0.0001::numeric(10,4) as pct_used,
    null::numeric(5,2) as unsorted,
    0::numeric(5,2) as stats_off,
    reltuples::numeric(38,0) as tbl_rows,
    null::numeric(19,2) as skew_sortkey1,
    null::numeric(19,2) as skew_rows,
    sortkeys
from pg_class
inner join pg_namespace on pg_namespace.oid = relnamespace
left join standin_design on relation = pg_class.oid
where relkind = 'r' and nspname not in ('pg_catalog', 'information_schema');
create table sys_load_error_detail (
    query_id bigint, table_name text, start_time timestamp default clock_timestamp(),
    file_name text, line_number bigint, column_name text, error_code integer, error_message text
);
create view svv_external_columns as
select
    ''::text as schemaname, ''::text as tablename, ''::text as columnname,
    ''::text as external_type, 0 as columnnum
where false;
create function pg_get_late_binding_view_cols() returns setof record language sql
    as $$ select ''::name, ''::name, ''::name, ''::varchar, 0 where false $$;
grant select on svv_table_info, sys_load_error_detail, svv_external_columns to public;

-- An error with a code and a text of one's choice.
create procedure standin_refuse(code text, message text) language plpgsql
    as $$ begin raise exception using errcode = code, message = message; end $$;
