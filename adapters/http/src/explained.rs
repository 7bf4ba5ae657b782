//! A session's bills worked out again from its tariff, as `chargeledger audit explain` does: what is not in a read model comes from the session's own stream.

use std::collections::HashMap;

use domain::agency::{ExplainedCommission, ExplainedDivision};
use domain::decider::Decider as _;
use domain::event::Event;
use domain::ids::SessionId;
use domain::log::{Revision, StreamId};
use domain::pricing::{ExplainedFee, ExplainedLine, Explanation, explain};
use domain::session::{Session, SessionEvent};
use projections::query::Item;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Api;
use crate::bills::FeeName;
use crate::problem::{Kind, Problem};
use crate::rows::BillRow;
use crate::wire::{PercentText, Quantity, Time, Yuan};

/// How many events are read at a time.
const PAGE: usize = 256;

/// A bill as it was issued, and worked out again.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainedBillAnswer {
    #[serde(flatten)]
    #[schema(value_type = BillRow)]
    issued: Item,
    #[serde(flatten)]
    reckoned: ReckoningAnswer,
}

/// How a bill follows from the tariff that the session was started under.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReckoningAnswer {
    /// The tariff it was priced with.
    tariff_id: Uuid,
    /// Its version.
    tariff_version: u32,
    /// The station's zone, whose clock the lines show.
    zone: String,
    /// Each line: quantity × unit price = product; product + rounding + reduction = amount.
    lines: Vec<ExplainedLineAnswer>,
    /// Each kind of fee.
    fees: Vec<ExplainedFeeAnswer>,
    /// What of it is the station owner's; none when it is booked whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    division: Option<ExplainedDivisionAnswer>,
    /// Where the bill says something else than the tariff and the arithmetic; none in a true bill.
    disagreements: Vec<String>,
}

/// A line of a bill, worked out again.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExplainedLineAnswer {
    /// From 1.
    line: usize,
    /// What for.
    kind: FeeName,
    /// From when, on the station's clock.
    #[schema(format = DateTime)]
    from_at: String,
    /// Until when, on the station's clock.
    #[schema(format = DateTime)]
    until_at: String,
    /// How much.
    quantity: Quantity,
    /// Of what: `kWh` or `min`; `credit` for what staff took off.
    unit: &'static str,
    /// The price of one.
    unit_price_yuan: Quantity,
    /// Which rule of the tariff gave the price.
    rule: String,
    /// Quantity times price, exact.
    #[schema(value_type = String)]
    product_yuan: String,
    /// What rounding half up to the fen added, or took when negative.
    #[schema(value_type = String)]
    rounding_yuan: String,
    /// What the most for idle time takes off; never positive.
    reduction_yuan: Yuan,
    /// What it comes to.
    amount_yuan: Yuan,
}

/// The sum of one kind of fee, worked out again.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExplainedFeeAnswer {
    /// What for.
    kind: FeeName,
    /// The amounts of its lines.
    amounts_yuan: Vec<Yuan>,
    /// Their sum.
    gross_yuan: Yuan,
    /// The tax rate in it.
    tax_percent: PercentText,
    /// Without tax.
    net_yuan: Yuan,
    /// The tax.
    tax_yuan: Yuan,
}

/// How a bill is divided between the station's owner and the operator, worked out again.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExplainedDivisionAnswer {
    /// Whose the station was: the detail of account 2202.
    owner_id: Uuid,
    /// The total less all commissions.
    owner_part_yuan: Yuan,
    /// The tax rate in the commissions.
    commission_tax_percent: PercentText,
    /// What the operator keeps, by kind of fee.
    commissions: Vec<ExplainedCommissionAnswer>,
}

/// What the operator keeps of one kind of fee.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExplainedCommissionAnswer {
    /// Of which kind.
    kind: FeeName,
    /// What the customer pays.
    fee_yuan: Yuan,
    /// The rate.
    percent: PercentText,
    /// What the operator keeps, tax included: fee × rate, half up to the fen.
    commission_yuan: Yuan,
    /// Without tax.
    net_yuan: Yuan,
    /// The tax.
    tax_yuan: Yuan,
}

impl From<ExplainedDivision> for ExplainedDivisionAnswer {
    fn from(division: ExplainedDivision) -> ExplainedDivisionAnswer {
        let commission = |commission: ExplainedCommission| ExplainedCommissionAnswer {
            kind: commission.kind.into(),
            fee_yuan: Yuan(commission.fee_yuan),
            percent: PercentText(commission.percent),
            commission_yuan: Yuan(commission.commission_yuan),
            net_yuan: Yuan(commission.net_yuan),
            tax_yuan: Yuan(commission.tax_yuan),
        };
        ExplainedDivisionAnswer {
            owner_id: division.owner_id.0,
            owner_part_yuan: Yuan(division.owner_part_yuan),
            commission_tax_percent: PercentText(division.commission_tax_percent),
            commissions: division.commissions.into_iter().map(commission).collect(),
        }
    }
}

/// Something that happened to the session.
#[derive(Debug, Serialize, ToSchema)]
pub struct HappenedAnswer {
    /// Its place in the log.
    position: u64,
    /// When the world did it.
    occurred_at: Time,
    /// What, like `session.started`.
    #[serde(rename = "type")]
    event_type: String,
}

impl From<ExplainedLine> for ExplainedLineAnswer {
    fn from(line: ExplainedLine) -> ExplainedLineAnswer {
        ExplainedLineAnswer {
            line: line.line,
            kind: line.kind.into(),
            from_at: line.from_at,
            until_at: line.until_at,
            quantity: Quantity(line.quantity),
            unit: line.unit,
            unit_price_yuan: Quantity(line.unit_price_yuan),
            rule: line.rule,
            product_yuan: line.product_yuan.to_string(),
            rounding_yuan: line.rounding_yuan.to_string(),
            reduction_yuan: Yuan(line.reduction_yuan),
            amount_yuan: Yuan(line.amount_yuan),
        }
    }
}

impl From<ExplainedFee> for ExplainedFeeAnswer {
    fn from(fee: ExplainedFee) -> ExplainedFeeAnswer {
        ExplainedFeeAnswer {
            kind: fee.kind.into(),
            amounts_yuan: fee.amounts_yuan.into_iter().map(Yuan).collect(),
            gross_yuan: Yuan(fee.gross_yuan),
            tax_percent: PercentText(fee.tax_percent),
            net_yuan: Yuan(fee.net_yuan),
            tax_yuan: Yuan(fee.tax_yuan),
        }
    }
}

impl From<Explanation> for ReckoningAnswer {
    fn from(explanation: Explanation) -> ReckoningAnswer {
        ReckoningAnswer {
            tariff_id: explanation.tariff_id.0,
            tariff_version: explanation.tariff_version,
            zone: explanation.zone.to_string(),
            lines: explanation.lines.into_iter().map(ExplainedLineAnswer::from).collect(),
            fees: explanation.fees.into_iter().map(ExplainedFeeAnswer::from).collect(),
            division: explanation.division.map(ExplainedDivisionAnswer::from),
            disagreements: explanation.disagreements.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What a session's stream says: what happened, and each of its bills worked out again.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) events: Vec<HappenedAnswer>,
    reckoned: HashMap<String, ReckoningAnswer>,
}

impl Story {
    /// Reads it.
    pub(crate) async fn of(api: &Api, session_id: SessionId) -> Result<Story, Problem> {
        let (mut story, mut session, mut bills) = (Story::default(), Session::default(), Vec::new());
        let mut next = Revision(0);
        loop {
            let page = api.commands.ledger.store().read_stream(&StreamId::session(session_id), next, PAGE).await?;
            let is_last = page.len() < PAGE;
            for stored in page {
                next = stored.revision.next();
                let event_type = stored.event_type.to_string();
                let recorded = stored.decode().map_err(|error| Problem::broken(Kind::Internal, &error))?;
                let (position, occurred_at) = (recorded.position.0, Time(recorded.metadata.occurred_at));
                story.events.push(HappenedAnswer { position, occurred_at, event_type });
                session = session.apply(&recorded);
                if let Event::Session(SessionEvent::Billed { bill, .. } | SessionEvent::BillCorrected { bill, .. }) = recorded.event {
                    bills.push(bill);
                }
            }
            if is_last {
                break;
            }
        }
        let priced = session.terms().and_then(|terms| Some((terms.tariff.as_ref()?, &terms.zone, terms.agency.as_deref())));
        if let Some((tariff, zone, agency)) = priced {
            story.reckoned = bills.iter().map(|bill| (bill.bill_number.clone(), explain(bill, tariff, zone, agency).into())).collect();
        }
        Ok(story)
    }

    /// A bill of the read model with how it comes about, which says more than the lines and fees as they were stored.
    pub(crate) fn explain(&self, mut issued: Item) -> Result<ExplainedBillAnswer, Problem> {
        let number = issued.get("bill_number").and_then(serde_json::Value::as_str).unwrap_or_default();
        let reckoned = self.reckoned.get(number).cloned();
        let reckoned = reckoned.ok_or_else(|| Problem::broken(Kind::Internal, &format!("bill {number} is in no session's stream")))?;
        issued.retain(|name, _| !BillRow::HIDDEN.contains(&name.as_str()));
        Ok(ExplainedBillAnswer { issued, reckoned })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::agency::{AgencyTerms, CommissionRates};
    use domain::pricing::{Bill, FeeKind};
    use domain::tariff::{TariffSnapshot, TariffTerms, TaxRates};
    use domain::testing::{at, id};
    use domain::time::ZoneName;

    use super::*;

    /// All names of an object and of the first of each of its lists.
    fn names(value: &serde_json::Value) -> BTreeSet<String> {
        let Some(object) = value.as_object() else { return BTreeSet::new() };
        let inner = object.values().filter_map(|value| value.as_array().map_or(Some(value), |list| list.first())).flat_map(names);
        object.keys().cloned().chain(inner).collect()
    }

    #[test]
    fn a_name_is_the_same_here_and_on_the_command_line() {
        let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
        let tariff = TariffSnapshot { tariff_id: id(1), version: 1, terms: TariffTerms { elements: vec![], idle: None, tax } };
        let line = domain::pricing::BillLine {
            kind: FeeKind::Energy,
            period: None,
            from: at("2026-03-01T08:00:00Z"),
            until: at("2026-03-01T09:00:00Z"),
            quantity: "1".parse().unwrap(),
            unit_price: "1".parse().unwrap(),
            rule: "element 1, flat".to_owned(),
            amount: "1".parse().unwrap(),
        };
        let bill = Bill {
            bill_number: "1".to_owned(),
            energy: "1".parse().unwrap(),
            total: "1".parse().unwrap(),
            lines: vec![line],
            fees: vec![],
            division: None,
        };
        let commission = CommissionRates { energy: tax.energy, service: tax.service, idle: tax.idle };
        let terms = AgencyTerms { owner_id: id(2), commission, commission_tax: tax.service };
        let bill = bill.divided(Some(&terms));
        let explanation = explain(&bill, &tariff, &ZoneName::shanghai(), Some(&terms));
        let of_bill = ["bill_number", "energy_kwh", "total_yuan"].map(str::to_owned);
        let there = names(&serde_json::to_value(&explanation).unwrap());
        let here: BTreeSet<String> =
            names(&serde_json::to_value(ReckoningAnswer::from(explanation)).unwrap()).into_iter().chain(of_bill).collect();
        assert_eq!(here, there);
    }
}
