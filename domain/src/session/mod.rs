//! One charging session (充电过程): requested → authorised → starting → charging → ended → finished → billed → settled, and every way out.
//!
//! What a device reports is a fact: it is kept whatever it says, and judged. Only requests are refused. The price comes from the tariff snapshot that the
//! session was started under and from the readings that are believed; nobody hands a price in.
//!
//! `decide` holds what may be asked, `report` what devices say, `billing` the price, `settlement` the money; `state` is what is remembered, and `evolve`
//! how each event changes it. Deliberately absent: what other streams do about it (the connector, the payment, the wallet), and any deadline.

mod billing;
mod decide;
mod event;
mod evolve;
mod report;
mod settlement;
mod state;
#[cfg(test)]
mod tests;

pub use decide::{DeviceFact, Discovery, Request, SessionCommand, SessionError};
pub use event::{
    DisputeReason, MeterReading, Oddity, PaymentMode, RefusalReason, SessionEvent, SessionRefs, StopReason, TransactionRecord,
};
pub use report::is_ahead;
pub use state::{Basis, Course, Ending, LaterPayment, Paid, Session, Terms};

use crate::decider::Decider;
use crate::event::Event;

impl Decider for Session {
    type Command = SessionCommand;
    type Event = SessionEvent;
    type Error = SessionError;

    fn decide(&self, command: SessionCommand) -> Result<Vec<SessionEvent>, SessionError> {
        self.decide_one(command)
    }

    fn evolve(self, event: &SessionEvent) -> Session {
        self.evolve_one(event)
    }

    fn event(event: &Event) -> Option<&SessionEvent> {
        match event {
            Event::Session(event) => Some(event),
            _ => None,
        }
    }
}
