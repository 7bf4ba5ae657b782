//! Stories that a generator of sample data tells, as an import of the past does: it plays payers and devices, to the end. When it is killed before that, whoever
//! runs then settles what has been said, and neither waits for the rest nor plays it: the generator comes back and goes on. Who began a stream says whose it is.

use domain::ids::{PaymentId, SessionId};
use domain::log::StreamId;
use domain::payment::{Payment, Purpose};

use super::Action;
use crate::Commands;
use crate::error::CommandError;

impl Commands {
    /// Whether a session is a generator's.
    pub(super) async fn is_made_up_session(&self, session_id: SessionId) -> Result<bool, CommandError> {
        self.is_made_up(&StreamId::session(session_id)).await
    }

    /// Whether a payment is a generator's: it asked for it, or for the session that has to be paid before it starts.
    pub(super) async fn is_made_up_payment(&self, payment_id: PaymentId) -> Result<bool, CommandError> {
        let stream = StreamId::payment(payment_id);
        if self.is_made_up(&stream).await? {
            return Ok(true);
        }
        match self.ledger.load::<Payment>(&stream).await?.state.terms().map(|terms| terms.purpose) {
            Some(Purpose::Prepayment { session_id }) => self.is_made_up_session(session_id).await,
            // Whoever pays for such a session later, on purpose, is real.
            Some(Purpose::TopUp | Purpose::Postpaid { .. }) | None => Ok(false),
        }
    }

    /// Whether what has become due is a generator's. Refunds never are: the payer has done its part.
    pub(super) async fn is_left_to_generator(&self, action: &Action) -> Result<bool, CommandError> {
        match action {
            Action::Session(session_id, _) => self.is_made_up_session(*session_id).await,
            Action::AskAfterPayment { payment_id } | Action::ClosePayment { payment_id } => self.is_made_up_payment(*payment_id).await,
            Action::Payment(..)
            | Action::Wallet(..)
            | Action::Connector(..)
            | Action::StartDevice { .. }
            | Action::StopDevice { .. }
            | Action::Collect { .. }
            | Action::GiveBack { .. }
            | Action::AskAfterRefund { .. } => Ok(false),
        }
    }

    async fn is_made_up(&self, stream: &StreamId) -> Result<bool, CommandError> {
        let origin = self.ledger.origin(stream).await.map_err(CommandError::Store)?;
        Ok(origin.is_some_and(|origin| origin.actor.is_generator()))
    }
}
