-- What a PostgreSQL database keeps of budgets, made once and in one transaction. Writers of a batch lock its accounts in the order of their keys.
CREATE TABLE IF NOT EXISTS ossai_budget_accounts (
    account      text COLLATE "C" NOT NULL,
    period       bigint NOT NULL,
    ends         bigint,
    spent_money  bigint NOT NULL DEFAULT 0,
    spent_tokens bigint NOT NULL DEFAULT 0,
    held_money   bigint NOT NULL DEFAULT 0,
    held_tokens  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (account, period)
);
CREATE TABLE IF NOT EXISTS ossai_budget_owners (
    id      bigint PRIMARY KEY,
    expires bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS ossai_budget_holds (
    id             uuid PRIMARY KEY,
    owner          bigint NOT NULL,
    state          text NOT NULL CHECK (state IN ('held', 'settled', 'released', 'expired')),
    made           bigint NOT NULL,
    ended          bigint,
    input_money    bigint NOT NULL,
    input_tokens   bigint NOT NULL,
    charged_money  bigint NOT NULL DEFAULT 0,
    charged_tokens bigint NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS ossai_budget_entries (
    hold    uuid NOT NULL,
    account text COLLATE "C" NOT NULL,
    period  bigint NOT NULL,
    money   bigint NOT NULL,
    tokens  bigint NOT NULL,
    PRIMARY KEY (hold, account, period)
);
CREATE INDEX IF NOT EXISTS ossai_budget_holds_open ON ossai_budget_holds (owner) WHERE state = 'held';
CREATE INDEX IF NOT EXISTS ossai_budget_holds_ended ON ossai_budget_holds (ended) WHERE state <> 'held';
CREATE INDEX IF NOT EXISTS ossai_budget_accounts_over ON ossai_budget_accounts (ends);

-- A batch, whole or not at all, in the order it was said; answers one element per item.
CREATE OR REPLACE FUNCTION ossai_budget_1(said text) RETURNS text LANGUAGE plpgsql AS $work$
DECLARE
    batch   jsonb := said::jsonb;
    me      bigint := (batch ->> 'owner')::bigint;
    moment      bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    most    CONSTANT bigint := 4000000000000000000;
    answers jsonb := '[]';
    item    jsonb;
    hold_id uuid;
    was     ossai_budget_holds%ROWTYPE;
    fits    boolean;
    told    jsonb;
    v_money  bigint;
    v_tokens bigint;
BEGIN
    IF (batch ->> 'lease') IS NOT NULL THEN
        INSERT INTO ossai_budget_owners AS o VALUES (me, moment + (batch ->> 'lease')::bigint)
            ON CONFLICT (id) DO UPDATE SET expires = excluded.expires;
    END IF;
    INSERT INTO ossai_budget_accounts (account, period, ends)
        SELECT DISTINCT ON (e.a COLLATE "C", e.p) e.a, e.p, e.x
        FROM jsonb_array_elements(batch -> 'work') AS w (item),
             jsonb_to_recordset(w.item -> 'entries') AS e (a text, p bigint, x bigint)
        ORDER BY e.a COLLATE "C", e.p
        ON CONFLICT DO NOTHING;
    PERFORM 1 FROM ossai_budget_accounts AS k
        WHERE (k.account, k.period) IN (
            SELECT e.a COLLATE "C", e.p
            FROM jsonb_array_elements(batch -> 'work') AS w (item),
                 jsonb_to_recordset(w.item -> 'entries') AS e (a text, p bigint))
        ORDER BY k.account, k.period FOR UPDATE;
    FOR item IN SELECT w.value FROM jsonb_array_elements(batch -> 'work') WITH ORDINALITY AS w (value, n) ORDER BY w.n LOOP
        hold_id := (item ->> 'id')::uuid;
        told := 'null';
        CASE item ->> 'op'
        WHEN 'reserve' THEN
            SELECT bool_and((e.lm IS NULL OR k.spent_money + k.held_money + e.m <= e.lm)
                        AND (e.lt IS NULL OR k.spent_tokens + k.held_tokens + e.t <= e.lt)),
                   jsonb_agg(jsonb_build_array(k.spent_money, k.spent_tokens, k.held_money, k.held_tokens) ORDER BY e.n)
                INTO fits, told
                FROM jsonb_to_recordset(item -> 'entries')
                        AS e (n int, a text, p bigint, m bigint, t bigint, lm bigint, lt bigint)
                JOIN ossai_budget_accounts AS k ON k.account = e.a COLLATE "C" AND k.period = e.p;
            IF fits IS NOT FALSE THEN
                told := 'null';
                INSERT INTO ossai_budget_holds VALUES (hold_id, me, 'held', moment, NULL,
                    (item -> 'input' ->> 0)::bigint, (item -> 'input' ->> 1)::bigint, 0, 0);
                INSERT INTO ossai_budget_entries
                    SELECT hold_id, e.a, e.p, e.m, e.t
                    FROM jsonb_to_recordset(item -> 'entries') AS e (a text, p bigint, m bigint, t bigint);
                UPDATE ossai_budget_accounts AS k SET
                        held_money = least(k.held_money + e.m, most),
                        held_tokens = least(k.held_tokens + e.t, most)
                    FROM jsonb_to_recordset(item -> 'entries') AS e (a text, p bigint, m bigint, t bigint)
                    WHERE k.account = e.a COLLATE "C" AND k.period = e.p;
            END IF;
        WHEN 'end' THEN
            v_money := (item -> 'charge' ->> 0)::bigint;
            v_tokens := (item -> 'charge' ->> 1)::bigint;
            SELECT * INTO was FROM ossai_budget_holds AS h WHERE h.id = hold_id;
            IF NOT FOUND THEN
                -- It was let pass without the ledger.
                IF v_money IS NOT NULL THEN
                    INSERT INTO ossai_budget_holds VALUES (hold_id, me, 'settled', moment, moment,
                        (item -> 'input' ->> 0)::bigint, (item -> 'input' ->> 1)::bigint, v_money, v_tokens);
                    INSERT INTO ossai_budget_entries
                        SELECT hold_id, e.a, e.p, e.m, e.t
                        FROM jsonb_to_recordset(item -> 'entries') AS e (a text, p bigint, m bigint, t bigint);
                    UPDATE ossai_budget_accounts AS k SET
                            spent_money = least(k.spent_money + v_money, most),
                            spent_tokens = least(k.spent_tokens + v_tokens, most)
                        FROM jsonb_to_recordset(item -> 'entries') AS e (a text, p bigint)
                        WHERE k.account = e.a COLLATE "C" AND k.period = e.p;
                END IF;
            ELSIF was.state <> 'settled' AND NOT (was.state = 'released' AND v_money IS NULL) THEN
                UPDATE ossai_budget_accounts AS k SET
                        spent_money = greatest(0, least(k.spent_money - was.charged_money + coalesce(v_money, 0), most)),
                        spent_tokens = greatest(0, least(k.spent_tokens - was.charged_tokens + coalesce(v_tokens, 0), most)),
                        held_money = greatest(0, k.held_money - CASE was.state WHEN 'held' THEN e.money ELSE 0 END),
                        held_tokens = greatest(0, k.held_tokens - CASE was.state WHEN 'held' THEN e.tokens ELSE 0 END)
                    FROM ossai_budget_entries AS e
                    WHERE e.hold = hold_id AND k.account = e.account AND k.period = e.period;
                UPDATE ossai_budget_holds AS h SET
                        state = CASE WHEN v_money IS NULL THEN 'released' ELSE 'settled' END,
                        ended = moment, charged_money = coalesce(v_money, 0), charged_tokens = coalesce(v_tokens, 0)
                    WHERE h.id = hold_id;
            END IF;
        WHEN 'list' THEN
            SELECT coalesce(jsonb_agg(jsonb_build_array(k.account, k.period, k.spent_money, k.spent_tokens,
                    k.held_money, k.held_tokens)), '[]')
                INTO told
                FROM (SELECT * FROM ossai_budget_accounts AS a
                      WHERE a.period <= (item ->> 'now')::bigint AND (a.ends IS NULL OR a.ends > (item ->> 'now')::bigint)
                      ORDER BY a.account LIMIT (item ->> 'most')::bigint) AS k;
        WHEN 'read' THEN
            SELECT jsonb_agg(jsonb_build_array(coalesce(k.spent_money, 0), coalesce(k.spent_tokens, 0),
                    coalesce(k.held_money, 0), coalesce(k.held_tokens, 0)) ORDER BY e.n)
                INTO told
                FROM jsonb_to_recordset(item -> 'accounts') AS e (n int, a text, p bigint)
                LEFT JOIN ossai_budget_accounts AS k ON k.account = e.a COLLATE "C" AND k.period = e.p;
        ELSE
            NULL;
        END CASE;
        answers := answers || jsonb_build_array(told);
    END LOOP;
    RETURN answers::text;
END
$work$;

-- Charges what dead processes held with its input, and lets go of what is past; says how many holds expired.
CREATE OR REPLACE FUNCTION ossai_budget_reap_1() RETURNS bigint LANGUAGE plpgsql AS $reap$
DECLARE
    moment bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    most CONSTANT bigint := 4000000000000000000;
    dead uuid[];
BEGIN
    SELECT array_agg(h.id) INTO dead FROM ossai_budget_holds AS h
        LEFT JOIN ossai_budget_owners AS o ON o.id = h.owner
        WHERE h.state = 'held' AND coalesce(o.expires, 0) < moment;
    IF dead IS NOT NULL THEN
        PERFORM 1 FROM ossai_budget_accounts AS k
            WHERE (k.account, k.period) IN (
                SELECT e.account, e.period FROM ossai_budget_entries AS e WHERE e.hold = ANY (dead))
            ORDER BY k.account, k.period FOR UPDATE;
        -- Who waited for the accounts may find that others were here, or that the process woke.
        SELECT array_agg(h.id) INTO dead FROM ossai_budget_holds AS h
            LEFT JOIN ossai_budget_owners AS o ON o.id = h.owner
            WHERE h.id = ANY (dead) AND h.state = 'held' AND coalesce(o.expires, 0) < moment;
        UPDATE ossai_budget_accounts AS k SET
                spent_money = least(k.spent_money + s.input_money, most),
                spent_tokens = least(k.spent_tokens + s.input_tokens, most),
                held_money = greatest(0, k.held_money - s.money),
                held_tokens = greatest(0, k.held_tokens - s.tokens)
            FROM (SELECT e.account, e.period,
                    least(sum(h.input_money), most)::bigint AS input_money,
                    least(sum(h.input_tokens), most)::bigint AS input_tokens,
                    least(sum(e.money), most)::bigint AS money, least(sum(e.tokens), most)::bigint AS tokens
                  FROM ossai_budget_entries AS e JOIN ossai_budget_holds AS h ON h.id = e.hold
                  WHERE h.id = ANY (dead) GROUP BY e.account, e.period) AS s
            WHERE k.account = s.account AND k.period = s.period;
        UPDATE ossai_budget_holds AS h SET state = 'expired', ended = moment,
                charged_money = h.input_money, charged_tokens = h.input_tokens
            WHERE h.id = ANY (dead);
    END IF;
    DELETE FROM ossai_budget_owners AS o WHERE o.expires < moment
        AND NOT EXISTS (SELECT 1 FROM ossai_budget_holds AS h WHERE h.owner = o.id AND h.state = 'held');
    WITH old AS (SELECT h.id FROM ossai_budget_holds AS h
                 WHERE h.state <> 'held' AND h.ended < moment - 604800000 LIMIT 1000 FOR UPDATE SKIP LOCKED),
         gone AS (DELETE FROM ossai_budget_entries AS e USING old WHERE e.hold = old.id)
        DELETE FROM ossai_budget_holds AS h USING old WHERE h.id = old.id;
    DELETE FROM ossai_budget_accounts AS k WHERE (k.account, k.period) IN (
        SELECT a.account, a.period FROM ossai_budget_accounts AS a
        WHERE a.ends < moment - 7776000000 AND a.held_money = 0 AND a.held_tokens = 0 LIMIT 1000 FOR UPDATE SKIP LOCKED);
    RETURN coalesce(array_length(dead, 1), 0);
END
$reap$;
