//! Operators: the tenants, and the posting rules that their books follow.

use domain::ids::{OperatorCode, OperatorId};
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
}
