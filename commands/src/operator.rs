//! Operators: the tenants, and the posting rules that their books follow.

use domain::ids::{OperatorCode, OperatorId};
use domain::journal::{Journal, JournalCommand};
use domain::log::StreamId;
use domain::operator::{BookingMode, Operator, OperatorCommand};
use domain::time::ZoneName;

use crate::Commands;
use crate::error::CommandError;
use crate::handle::Done;
use crate::request::{Caller, RequestIds};

impl Commands {
    /// Lets an operator join. `caller.operator_id` is its own.
    ///
    /// # Errors
    /// When it is there already, with other details.
    pub async fn register_operator(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        code: OperatorCode,
        name: String,
        books_zone: ZoneName,
        booking: BookingMode,
    ) -> Result<Done<Operator>, CommandError> {
        let operator_id: OperatorId = caller.operator_id;
        let command = OperatorCommand::Register { operator_id, code, name, books_zone, booking };
        let envelope = caller.envelope(ids.command("register operator"), operator_id.0);
        Ok(self.ledger.handle::<Operator>(&StreamId::operator(operator_id), command, &envelope).await?)
    }

    /// Lets the caller's books follow newer posting rules from now on. Closed books stay as they are.
    ///
    /// # Errors
    /// When there is no such operator or version, or the books follow newer ones already.
    pub async fn adopt_rules(&self, caller: &Caller, ids: &RequestIds, rules_version: u16) -> Result<Done<Journal>, CommandError> {
        let operator_id = caller.operator_id;
        self.owned("operator", &StreamId::operator(operator_id), operator_id).await?;
        let envelope = caller.envelope(ids.command("adopt rules"), operator_id.0);
        let adopt = JournalCommand::AdoptRules { operator_id, rules_version };
        Ok(self.ledger.handle::<Journal>(&StreamId::journal(operator_id), adopt, &envelope).await?)
    }
}
