create function raw_data._set_type (relation regclass, column_name name, wider text) returns void
language plpgsql as $set_type$
declare
    -- The views that read the table are made again around it, with their grants.
    found record;
    statements text[] := array[
        format('alter table %s alter column %I type %s', relation, column_name, wider)
    ];
begin
    for found in
        with recursive reading as (
            select relation::oid as id, 0 as depth
            union
            select rule.ev_class, reading.depth + 1
            from reading
            inner join pg_depend on refobjid = reading.id and classid = 'pg_rewrite'::regclass
            inner join pg_rewrite as rule on rule.oid = objid and rule.ev_class <> reading.id
        )

        select
            id::regclass::text as name,
            pg_get_viewdef(id) as definition,
            array(
                select format(
                    'grant %s on %s to %s', privilege_type, id::regclass,
                    case when grantee = 0 then 'public' else grantee::regrole::text end
                )
                from pg_class, aclexplode(relacl)
                where oid = id and grantee <> relowner
            ) as grants
        from reading
        where depth > 0
        group by id
        order by max(depth)
    loop
        statements := format('drop view %s', found.name) || statements
            || format('create view %s as %s', found.name, found.definition) || found.grants;
    end loop;
    for n in 1 .. cardinality(statements) loop
        execute statements[n];
    end loop;
end
$set_type$
