//! Views that tell the same thing differently say the same.

mod support;

use support::history::History;
use support::{Database, on_postgres};

/// Each counts what disagrees.
const DISAGREEMENTS: &[(&str, &str)] = &[
    (
        "a session's total is the bill that holds",
        "SELECT count(*) FROM read.sessions s LEFT JOIN read.bills b USING (session_id, bill_number)
         WHERE s.total_yuan IS DISTINCT FROM b.total_yuan OR b.replaced_by IS NOT NULL",
    ),
    (
        "days sum up to the bills that hold",
        "SELECT count(*) FROM
         (SELECT operator_id, station_id, sum(session_count) n, sum(total_yuan) t, sum(energy_kwh) e FROM read.daily_statistics GROUP BY 1, 2) d
         FULL JOIN (SELECT operator_id, station_id, count(*) n, sum(total_yuan) t, sum(energy_kwh) e FROM read.bills
                    WHERE replaced_by IS NULL GROUP BY 1, 2) b USING (operator_id, station_id)
         WHERE (d.n, d.t, d.e) IS DISTINCT FROM (b.n, b.t, b.e)",
    ),
    (
        "a day has the bills that begin on it; one without lines begins when its number says",
        "SELECT count(*) FROM
         (SELECT station_id, local_on, session_count n, total_yuan t, energy_kwh e FROM read.daily_statistics WHERE (session_count, total_yuan) <> (0, 0)) d
         FULL JOIN (SELECT station_id, local_on, count(*) n, sum(total_yuan) t, sum(energy_kwh) e FROM
                    (SELECT b.*, (coalesce((SELECT min((line ->> 'from')::timestamptz) FROM jsonb_array_elements(b.lines) line),
                                           to_timestamp(substr(b.bill_number, 10, 12) || '+00', 'YYMMDDHH24MISSTZH')) AT TIME ZONE s.zone)::date local_on
                     FROM read.bills b JOIN read.stations s USING (station_id) WHERE b.replaced_by IS NULL) begun GROUP BY 1, 2) b
         USING (station_id, local_on) WHERE (d.n, d.t, d.e) IS DISTINCT FROM (b.n, b.t, b.e)",
    ),
    (
        "the fees of a bill are its lines",
        "SELECT count(*) FROM read.bills b WHERE total_yuan <> energy_fee_yuan + service_fee_yuan + idle_fee_yuan
         OR total_yuan <> (SELECT coalesce(sum((line ->> 'amount')::numeric), 0) FROM jsonb_array_elements(lines) line)",
    ),
    (
        "accounts sum up the journal",
        "SELECT count(*) FROM read.accounts a FULL JOIN
         (SELECT operator_id, account, detail, sum(debit_yuan) d, sum(credit_yuan) c, count(*) n FROM read.journal GROUP BY 1, 2, 3) j
         USING (operator_id, account, detail)
         WHERE (a.debit_yuan, a.credit_yuan, a.posting_count, a.balance_yuan) IS DISTINCT FROM (j.d, j.c, j.n, j.d - j.c)",
    ),
    (
        "balances sum up the journal by day",
        "SELECT count(*) FROM (SELECT operator_id, account, business_on, sum(debit_yuan) d, sum(credit_yuan) c FROM read.balances GROUP BY 1, 2, 3) b
         FULL JOIN (SELECT operator_id, account, business_on, sum(debit_yuan) d, sum(credit_yuan) c FROM read.journal GROUP BY 1, 2, 3) j
         USING (operator_id, account, business_on) WHERE (b.d, b.c) IS DISTINCT FROM (j.d, j.c)",
    ),
    (
        "an entry balances",
        "SELECT count(*) FROM (SELECT 1 FROM read.journal GROUP BY position HAVING sum(debit_yuan) <> sum(credit_yuan) OR count(*) < 2) e",
    ),
    (
        "a wallet is the end of its statement, and the sum of its changes",
        "SELECT count(*) FROM read.wallets w LEFT JOIN LATERAL (
             SELECT sum(change_yuan) changed, (array_agg(balance_yuan ORDER BY position DESC))[1] last, (array_agg(held_yuan ORDER BY position DESC))[1] held
             FROM read.wallet_statement s WHERE s.user_id = w.user_id) s ON true
         WHERE (w.balance_yuan, w.balance_yuan, w.held_yuan) IS DISTINCT FROM (s.last, s.changed, s.held)",
    ),
    (
        "what went back of a payment is its refunds",
        "SELECT count(*) FROM read.payments p LEFT JOIN LATERAL (
             SELECT coalesce(sum(amount_yuan) FILTER (WHERE status = 'succeeded'), 0) done,
                    coalesce(sum(amount_yuan) FILTER (WHERE status = 'requested'), 0) open FROM read.refunds r WHERE r.payment_id = p.payment_id) r ON true
         WHERE (p.refunded_yuan, p.refunding_yuan) <> (r.done, r.open)",
    ),
    (
        "what is receivable of a settled session is in the receivables",
        "SELECT count(*) FROM read.sessions s FULL JOIN read.receivables r USING (session_id)
         WHERE s.status = 'settled' AND coalesce(s.receivable_yuan, 0) <> coalesce(r.open_yuan, 0) AND s.receivable_yuan >= 0",
    ),
    (
        "a session that has a connector is the one that the connector names",
        "SELECT count(*) FROM (SELECT session_id FROM read.connectors WHERE session_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1) twice",
    ),
];

#[test]
fn after_a_random_history_views_that_tell_the_same_agree() {
    on_postgres(|database: Database| async move {
        let mut history = History::new(31).await;
        history.go_on(10_000).await;
        history.log().catch_up(&database.read_models(), projections::all()).await;
        let mut broken = Vec::new();
        for (rule, disagreements) in DISAGREEMENTS {
            match database.number(disagreements).await {
                0 => {}
                rows => broken.push(format!("{rule}: not in {rows}")),
            }
        }
        assert!(broken.is_empty(), "{broken:#?}");
        assert!(database.number("SELECT count(*) FROM read.bills WHERE replaced_by IS NOT NULL").await > 0, "no bill was corrected");
        let corrected = "SELECT count(*) FROM read.bills WHERE replaced_by IS NOT NULL AND lines = '[]'";
        assert!(database.number(corrected).await > 0, "no bill without lines was corrected");
        assert!(database.number("SELECT count(*) FROM read.refunds WHERE status = 'succeeded'").await > 0, "nothing went back");
        let after_all = "SELECT count(*) FROM read.refunds WHERE status = 'succeeded' AND problem = 'account closed'";
        assert!(database.number(after_all).await > 0, "no refund went back that the channel had refused");
        assert!(database.number("SELECT count(*) FROM read.receivables").await > 0, "nobody owes anything");
    });
}
