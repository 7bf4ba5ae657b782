//! The path of every fen, and where a bill does not follow from its tariff.

use super::*;

fn session() -> Usage {
    usage(&[("2026-03-02T07:30:00+08:00", "0"), ("2026-03-02T09:00:00+08:00", "0.0107")])
        .idle_until(at("2026-03-02T11:00:00+08:00"))
        .unwrap()
}

fn tariff() -> TariffSnapshot {
    let mut tariff = four_periods();
    tariff.terms.idle = with_idle("0.5", 15, Some("30")).terms.idle;
    tariff
}

/// What is found when the bill has been changed.
fn found(change: impl FnOnce(&mut Bill)) -> Vec<String> {
    let mut bill = priced(&tariff(), SHANGHAI, &session());
    change(&mut bill);
    explain(&bill, &tariff(), &ZoneName::shanghai(), None).disagreements.iter().map(ToString::to_string).collect()
}

#[test]
fn a_bill_that_is_divided_otherwise_than_its_terms_say_disagrees() {
    let terms = crate::agency::tests::ownership("5", "12.5").terms();
    let whole = priced(&tariff(), SHANGHAI, &session());
    let divided = whole.clone().divided(Some(&terms));
    let found = |bill: &Bill, terms| explain(bill, &tariff(), &ZoneName::shanghai(), terms).disagreements;
    assert_eq!(found(&divided, Some(&terms)), []);
    assert_eq!(found(&divided, None), [Disagreement::Division]);
    assert_eq!(found(&whole, Some(&terms)), [Disagreement::Division]);
    let text = explain(&divided, &tariff(), &ZoneName::shanghai(), Some(&terms)).to_string();
    assert!(text.contains("commission on energy") && text.contains(&format!("owner {}", terms.owner_id)), "{text}");
}

#[test]
fn the_path_of_every_fen_is_written_out() {
    let text = explain(&priced(&tariff(), SHANGHAI, &session()), &tariff(), &ZoneName::shanghai(), None).to_string();
    let expected = "\
bill 20260301, tariff 00000000-0000-0000-0000-000000000001 version 1, clock of Asia/Shanghai
  1 energy  2026-03-02T07:30:00+08:00 to 2026-03-02T08:00:00+08:00: 0.0036 kWh × 0.30000 (element 1, valley) = 0.001080000, rounding -0.001080000 → 0.00
  2 service 2026-03-02T07:30:00+08:00 to 2026-03-02T08:00:00+08:00: 0.0036 kWh × 0.40000 (element 1, valley) = 0.001440000, rounding -0.001440000 → 0.00
  3 energy  2026-03-02T08:00:00+08:00 to 2026-03-02T09:00:00+08:00: 0.0071 kWh × 0.90000 (element 1, peak) = 0.006390000, rounding +0.003610000 → 0.01
  4 service 2026-03-02T08:00:00+08:00 to 2026-03-02T09:00:00+08:00: 0.0071 kWh × 0.40000 (element 1, peak) = 0.002840000, rounding -0.002840000 → 0.00
  5 idle    2026-03-02T09:15:00+08:00 to 2026-03-02T11:00:00+08:00: 105.0000 min × 0.50000 (idle after 15 minutes, at most 30.00) = 52.500000000, reduction -22.50 → 30.00
energy: 0.00 + 0.01 = 0.01; net of 13 % tax 0.01, tax 0.00
service: 0.00 + 0.00 = 0.00; net of 6 % tax 0.00, tax 0.00
idle: 30.00 = 30.00; net of 6 % tax 28.30, tax 1.70
total 30.01 yuan for 0.0107 kWh
";
    assert_eq!(text, expected);
}

#[test]
fn amounts_and_quantities_are_text_in_json() {
    let json = serde_json::to_value(explain(&priced(&tariff(), SHANGHAI, &session()), &tariff(), &ZoneName::shanghai(), None)).unwrap();
    assert_eq!(json["lines"][2]["quantity"], "0.0071");
    assert_eq!(json["lines"][2]["product_yuan"], "0.006390000");
    assert_eq!(json["lines"][2]["rounding_yuan"], "0.003610000");
    assert_eq!(json["fees"][2]["tax_yuan"], "1.70");
    assert_eq!(json["disagreements"], serde_json::json!([]));
}

#[test]
fn a_changed_amount_is_found() {
    assert_eq!(found(|bill| bill.lines[2].amount = "0.02".parse().unwrap()), ["line 3 comes to 0.02, and quantity times price to 0.01"]);
}

#[test]
fn a_changed_price_is_found() {
    let disagreements = found(|bill| bill.lines[2].unit_price = "0.9001".parse().unwrap());
    assert_eq!(disagreements, ["line 3 has a unit price of 0.9001, and the tariff says 0.90000"]);
}

#[test]
fn a_changed_rule_is_found() {
    let disagreements = found(|bill| bill.lines[0].rule = "element 1, peak".into());
    assert_eq!(disagreements, ["line 1 is priced by \"element 1, peak\", and the tariff says \"element 1, valley\""]);
}

#[test]
fn a_line_moved_into_another_period_is_found() {
    let disagreements = found(|bill| {
        bill.lines[0].from = at("2026-03-02T08:00:00+08:00");
        bill.lines[1].from = at("2026-03-02T08:00:00+08:00");
    });
    assert_eq!(disagreements.len(), 3, "{disagreements:?}");
    assert_eq!(disagreements[0], "line 1 is priced by \"element 1, valley\", and the tariff says \"element 1, peak\"");
}

#[test]
fn changed_energy_is_found() {
    let disagreements = found(|bill| bill.lines[0].quantity = "0.0037".parse().unwrap());
    let unpaired = |line: u32| format!("line {line} has no line of the other kind for the same time and energy");
    assert_eq!(disagreements, [unpaired(1), unpaired(2), "the bill has 0.0107 kWh, and its energy lines 0.0108".into()]);
}

#[test]
fn a_missing_service_line_is_found() {
    let disagreements = found(|bill| drop(bill.lines.remove(1)));
    assert_eq!(disagreements, ["line 1 has no line of the other kind for the same time and energy"]);
}

#[test]
fn changed_idle_minutes_are_found() {
    let disagreements = found(|bill| bill.lines[4].quantity = "100.0000".parse().unwrap());
    assert_eq!(disagreements, ["line 5 bills 100.0000 minutes, and lasts 105.0000"]);
}

#[test]
fn idle_time_that_the_tariff_does_not_bill_is_found() {
    let bill = priced(&tariff(), SHANGHAI, &session());
    let found = explain(&bill, &four_periods(), &ZoneName::shanghai(), None).disagreements;
    let (line, billed) = (5, "idle after 15 minutes, at most 30.00".into());
    assert_eq!(found[0], Disagreement::Rule { line, billed, tariff: "nothing".into() });
}

#[test]
fn changed_sums_are_found() {
    assert_eq!(
        found(|bill| bill.fees[2].tax = "1.69".parse().unwrap()),
        ["the idle fees are not what their lines and the tax rate come to"]
    );
    assert_eq!(found(|bill| bill.fees.truncate(2)), ["the idle fees are not what their lines and the tax rate come to"]);
    assert_eq!(found(|bill| bill.total = "30.02".parse().unwrap()), ["the bill comes to 30.02, and its lines to 30.01"]);
    assert_eq!(found(|bill| bill.energy = Energy::ZERO), ["the bill has 0.0000 kWh, and its energy lines 0.0107"]);
}

/// The same bill with an amount taken off its idle fee.
fn credited(bill: &Bill, amount: &str) -> Bill {
    let mut lines = bill.lines.clone();
    lines.push(BillLine::credit(FeeKind::Idle, at("2026-03-02T11:00:00+08:00"), amount.parse().unwrap()));
    Bill::of_lines("20260301-2".into(), bill.energy, lines, &tariff().terms.tax)
}

#[test]
fn a_credit_is_explained_as_one() {
    let bill = credited(&priced(&tariff(), SHANGHAI, &session()), "10.00");
    let explanation = explain(&bill, &tariff(), &ZoneName::shanghai(), None);
    assert_eq!(explanation.disagreements, []);
    assert_eq!(explanation.total_yuan, "20.01".parse().unwrap());
    let line = explanation.lines[5].to_string();
    assert!(line.ends_with("1 credit × -10.00 (credit) = -10.00 → -10.00"), "{line}");
}

#[test]
fn a_changed_credit_is_found() {
    let bill = priced(&tariff(), SHANGHAI, &session());
    let mut changed = credited(&bill, "10.00");
    changed.lines[5].amount = "-10.01".parse().unwrap();
    let found = explain(&changed, &tariff(), &ZoneName::shanghai(), None).disagreements;
    assert_eq!(found, [Disagreement::Amount { line: 6, billed: "-10.01".parse().unwrap(), reckoned: "-10.00".parse().unwrap() }]);
    // A line that claims to be a credit and adds to the bill has no rule.
    let mut claimed = credited(&bill, "10.00");
    claimed.lines[5].amount = "10.00".parse().unwrap();
    let found = explain(&claimed, &tariff(), &ZoneName::shanghai(), None).disagreements;
    assert!(found.iter().any(|found| matches!(found, Disagreement::Rule { line: 6, .. })), "{found:?}");
}
