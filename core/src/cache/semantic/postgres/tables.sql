-- What a PostgreSQL database with pgvector keeps of a semantic cache, made once and in one transaction.
--
-- A row is always one that counts: who invalidates changes the mark of a scope and takes its rows away in one transaction, and
-- who keeps holds the marks of its scopes meanwhile and compares them with what they were before the answer was asked for.
-- Nobody waits in a circle: marks are locked in the order of their scopes and before any row, a keeper locks one row, and
-- those who take away many rows of a tenant do it one after the other, or skip what is locked.
CREATE TABLE IF NOT EXISTS ossai_semantic_1 (
    grp         bytea NOT NULL,                -- what the questions share
    key         bytea NOT NULL,                -- exactly this call
    tenant      bytea NOT NULL,
    dimensions  integer NOT NULL,
    answer      bytea NOT NULL,                -- an envelope with the question and the answer
    scopes      bytea[] NOT NULL,              -- what can invalidate it
    bytes       bigint NOT NULL,
    created     timestamptz NOT NULL,
    fresh_until timestamptz NOT NULL,
    PRIMARY KEY (grp, key)
);
-- On its own, for it goes with the extension and comes back without its values.
ALTER TABLE ossai_semantic_1 ADD COLUMN IF NOT EXISTS embedding vector CHECK (vector_dims(embedding) = dimensions);
-- It is compressed or encrypted by then.
ALTER TABLE ossai_semantic_1 ALTER COLUMN answer SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS ossai_semantic_1_tenant ON ossai_semantic_1 (tenant, created);
CREATE INDEX IF NOT EXISTS ossai_semantic_1_over ON ossai_semantic_1 (fresh_until);
CREATE TABLE IF NOT EXISTS ossai_semantic_marks_1 (
    scope   bytea PRIMARY KEY,
    token   bytea NOT NULL,                    -- zeros until it is first invalidated
    changed timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One digest of the marks of these scopes. A mark that is not there is one that never was changed.
CREATE OR REPLACE FUNCTION ossai_semantic_seen_1(of_scopes bytea[]) RETURNS bytea LANGUAGE sql STABLE AS $seen$
    SELECT substring(sha256(string_agg(s || coalesce(m.token, decode(repeat('00', 16), 'hex')), ''::bytea ORDER BY s)) FOR 16)
    FROM unnest(of_scopes) AS s LEFT JOIN ossai_semantic_marks_1 m ON m.scope = s
$seen$;

-- The digest of the marks in the first row, then the nearest that are fresh, at most so old (null: any) and so far, and have answers
-- of at most so many bytes. A group of at most `exactly` questions is compared whole; of a larger one an index may be asked.
CREATE OR REPLACE FUNCTION ossai_semantic_find_1(of_group bytea, near real[], of_scopes bytea[], most_far double precision,
    most_age bigint, most_bytes integer, most_rows integer, exactly integer)
RETURNS TABLE (marks bytea, key bytea, age bigint, time_left bigint, answer bytea, vector real[]) LANGUAGE plpgsql AS $find$
DECLARE
    wanted  vector := near;
    width   integer := cardinality(near);
    moment  timestamptz := clock_timestamp();
    since   timestamptz := '-infinity';
    members integer;
    as_kind text := '';
    columns CONSTANT text := 'floor(extract(epoch FROM $3 - n.created) * 1000)::bigint, '
        'floor(extract(epoch FROM n.fresh_until - $3) * 1000)::bigint, n.answer, n.embedding::real[]';
BEGIN
    RETURN QUERY SELECT ossai_semantic_seen_1(of_scopes), NULL::bytea, 0::bigint, 0::bigint, NULL::bytea, NULL::real[];
    IF most_age IS NOT NULL THEN
        since := moment - most_age * interval '1 millisecond';
    END IF;
    SELECT count(*) INTO members FROM (SELECT 1 FROM ossai_semantic_1 s WHERE s.grp = of_group LIMIT exactly + 1) AS few;
    -- Only what is cast to its length is what an index is of.
    IF members > exactly AND width <= 2000 THEN
        as_kind := format('::vector(%s)', width);
    ELSIF members > exactly AND width <= 4000 THEN
        as_kind := format('::halfvec(%s)', width);
    END IF;
    IF as_kind <> '' THEN
        PERFORM set_config('hnsw.ef_search', '200', true);
        -- Older versions do not know it.
        IF current_setting('hnsw.iterative_scan', true) IS NOT NULL THEN
            PERFORM set_config('hnsw.iterative_scan', 'relaxed_order', true);
        END IF;
    END IF;
    RETURN QUERY EXECUTE format('WITH n AS MATERIALIZED (
            SELECT s.*, s.embedding%1$s <=> $2%1$s AS far FROM ossai_semantic_1 s
            WHERE s.grp = $1 AND s.dimensions = %2$s AND s.embedding IS NOT NULL
                AND s.fresh_until > $3 AND s.created >= $4 AND octet_length(s.answer) <= $5
            ORDER BY s.embedding%1$s <=> $2%1$s LIMIT $6)
        SELECT NULL::bytea, n.key, %3$s FROM n WHERE n.far <= $7', as_kind, width, columns)
        USING of_group, wanted, moment, since, most_bytes, most_rows, most_far;
END
$find$;

-- The digest of the marks, and the vector of exactly this question where it is kept.
CREATE OR REPLACE FUNCTION ossai_semantic_known_1(of_group bytea, of_key bytea, of_scopes bytea[])
RETURNS TABLE (marks bytea, vector real[]) LANGUAGE sql STABLE AS $known$
    SELECT ossai_semantic_seen_1(of_scopes),
        (SELECT s.embedding::real[] FROM ossai_semantic_1 s WHERE s.grp = of_group AND s.key = of_key AND s.fresh_until > clock_timestamp())
$known$;

-- Keeps an answer, unless something of its scopes was invalidated since `seen`. Says whether it is kept.
CREATE OR REPLACE FUNCTION ossai_semantic_put_1(of_group bytea, of_key bytea, of_tenant bytea, near real[], said bytea,
    of_scopes bytea[], seen bytea, weight bigint, keep_ms double precision)
RETURNS boolean LANGUAGE plpgsql AS $put$
DECLARE
    held   integer;
    moment timestamptz;
BEGIN
    INSERT INTO ossai_semantic_marks_1 (scope, token)
        SELECT s, decode(repeat('00', 16), 'hex') FROM unnest(of_scopes) AS s
        WHERE NOT EXISTS (SELECT 1 FROM ossai_semantic_marks_1 m WHERE m.scope = s) ORDER BY s
        ON CONFLICT DO NOTHING;
    PERFORM m.scope FROM ossai_semantic_marks_1 m WHERE m.scope = ANY (of_scopes) ORDER BY m.scope FOR SHARE;
    GET DIAGNOSTICS held = ROW_COUNT;
    IF held <> cardinality(of_scopes) OR ossai_semantic_seen_1(of_scopes) <> seen THEN
        RETURN false;
    END IF;
    moment := clock_timestamp();
    INSERT INTO ossai_semantic_1 AS s (grp, key, tenant, dimensions, embedding, answer, scopes, bytes, created, fresh_until)
        VALUES (of_group, of_key, of_tenant, cardinality(near), near::vector, said, of_scopes, weight, moment,
            moment + keep_ms * interval '1 millisecond')
        ON CONFLICT ON CONSTRAINT ossai_semantic_1_pkey DO UPDATE SET tenant = excluded.tenant, dimensions = excluded.dimensions,
            embedding = excluded.embedding, answer = excluded.answer, scopes = excluded.scopes, bytes = excluded.bytes,
            created = excluded.created, fresh_until = excluded.fresh_until;
    RETURN true;
END
$put$;

-- Changes the mark of a scope and takes away what it has; says how many that were.
CREATE OR REPLACE FUNCTION ossai_semantic_forget_1(of_tenant bytea, of_scope bytea, fresh bytea) RETURNS bigint LANGUAGE plpgsql AS $forget$
DECLARE
    gone bigint;
BEGIN
    -- What was said to be gone does not come back with a server that crashed. A lost answer is only asked for again.
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM pg_advisory_xact_lock(781835110, hashtext(encode(of_tenant, 'hex')));
    INSERT INTO ossai_semantic_marks_1 AS m (scope, token) VALUES (of_scope, fresh)
        ON CONFLICT (scope) DO UPDATE SET token = excluded.token, changed = clock_timestamp();
    DELETE FROM ossai_semantic_1 s WHERE s.tenant = of_tenant AND of_scope = ANY (s.scopes);
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$forget$;

-- Makes room: what is over its time goes first, then the oldest of this tenant's. Says what is left of it, and of its largest group.
CREATE OR REPLACE FUNCTION ossai_semantic_tidy_1(of_tenant bytea, most_entries bigint, most_bytes bigint)
RETURNS TABLE (entries bigint, bytes bigint, largest bigint) LANGUAGE plpgsql AS $tidy$
BEGIN
    PERFORM pg_advisory_xact_lock(781835110, hashtext(encode(of_tenant, 'hex')));
    -- Of everybody, for who has gone takes nothing away; what somebody holds is left to the next.
    DELETE FROM ossai_semantic_1 s USING (
            SELECT o.grp, o.key FROM ossai_semantic_1 o WHERE o.fresh_until <= clock_timestamp() LIMIT 10000 FOR UPDATE SKIP LOCKED
        ) AS over
        WHERE s.grp = over.grp AND s.key = over.key;
    DELETE FROM ossai_semantic_1 s USING (
            SELECT k.grp, k.key FROM (
                SELECT o.grp, o.key, row_number() OVER w AS nth, sum(o.bytes) OVER w AS total
                FROM ossai_semantic_1 o WHERE o.tenant = of_tenant
                WINDOW w AS (ORDER BY o.created DESC, o.grp, o.key ROWS UNBOUNDED PRECEDING)
            ) AS k WHERE k.nth > most_entries OR k.total > most_bytes
        ) AS over
        WHERE s.grp = over.grp AND s.key = over.key;
    -- A mark that never was changed is as good as none. One that was, is kept for longer than any call is under way.
    DELETE FROM ossai_semantic_marks_1 m USING (
            SELECT o.scope FROM ossai_semantic_marks_1 o
            WHERE o.changed < clock_timestamp() - CASE WHEN o.token = decode(repeat('00', 16), 'hex') THEN interval '1 day' ELSE interval '30 days' END
            LIMIT 10000 FOR UPDATE SKIP LOCKED
        ) AS old
        WHERE m.scope = old.scope;
    RETURN QUERY
        SELECT coalesce(sum(g.n), 0)::bigint, coalesce(sum(g.b), 0)::bigint, coalesce(max(g.n), 0)
        FROM (SELECT count(*) AS n, sum(o.bytes) AS b FROM ossai_semantic_1 o WHERE o.tenant = of_tenant GROUP BY o.grp) AS g;
END
$tidy$;
