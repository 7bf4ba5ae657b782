//! Operators: the tenants, and the posting rules that their books follow.

use domain::ids::{OperatorCode, OperatorId};
use domain::journal::{Journal, JournalCommand, JournalError, RulesVersion};
use domain::key::{KeyError, Role};
use domain::log::StreamId;
use domain::operator::{BookingMode, Operator, OperatorCommand, OperatorError};
use domain::time::ZoneName;

use crate::Commands;
use crate::error::CommandError;
use crate::handle::{Done, HandleError};
use crate::key::FreshKey;
use crate::request::{Caller, RequestIds};

/// An operator that has just joined.
#[derive(Clone)]
pub struct Joined {
    /// It.
    pub operator: Done<Operator>,
    /// Its first key, of role admin: the only way to it from outside. None when this request had been done before; the secret was shown then.
    pub admin_key: Option<FreshKey>,
}

impl Commands {
    /// Lets an operator join under the id that belongs to its code, so that a code joins once, and makes its first key. `by` says who asks, not whose books.
    ///
    /// # Errors
    /// When there is an operator with this code: a second one would be given a key to the first one's data.
    pub async fn join_operator(
        &self,
        by: &Caller,
        ids: &RequestIds,
        code: OperatorCode,
        name: String,
        books_zone: ZoneName,
        booking: BookingMode,
    ) -> Result<Joined, CommandError> {
        let caller = Caller { operator_id: OperatorId::of_code(&code), ..by.clone() };
        let key_name = format!("first key of {code}");
        let operator = self.register_operator(&caller, ids, code, name, books_zone, booking).await?;
        if operator.events.is_empty() {
            return Err(OperatorError::AlreadyRegistered.into());
        }
        let admin_key = match self.create_key(&caller, ids, Role::Admin, key_name).await {
            Ok(key) => Some(key),
            Err(CommandError::Key(KeyError::AlreadyCreated | KeyError::Revoked)) => None,
            Err(error) => return Err(error),
        };
        Ok(Joined { operator, admin_key })
    }

    /// Lets an operator join. `caller.operator_id` is its own. One that books as agent adopts posting rules that divide bills before anything is billed.
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
        let registered = self.ledger.handle::<Operator>(&StreamId::operator(operator_id), command, &envelope).await?;
        if booking == BookingMode::Agent {
            self.let_rules_divide(caller, ids).await?;
        }
        Ok(registered)
    }

    /// Lets the caller's books treat other owners' stations otherwise, for the sessions that begin from now on. As agent they first adopt posting rules that
    /// divide bills, if theirs do not: the sessions of before are posted as they would have been.
    ///
    /// # Errors
    /// When there is no such operator, or it has left.
    pub async fn set_booking(&self, caller: &Caller, ids: &RequestIds, booking: BookingMode) -> Result<Done<Operator>, CommandError> {
        let operator_id = caller.operator_id;
        let stream = StreamId::operator(operator_id);
        self.owned("operator", &stream, operator_id).await?;
        if booking == BookingMode::Agent && !self.ledger.load::<Operator>(&stream).await?.state.is_closed() {
            self.let_rules_divide(caller, ids).await?;
        }
        let envelope = caller.envelope(ids.command("set booking"), operator_id.0);
        let command = OperatorCommand::SetBooking { booking };
        Ok(self.ledger.handle_at::<Operator>(&stream, command, &envelope, ids.revision()).await?)
    }

    async fn let_rules_divide(&self, caller: &Caller, ids: &RequestIds) -> Result<(), CommandError> {
        let stream = StreamId::journal(caller.operator_id);
        let books = self.ledger.load::<Journal>(&stream).await?.state;
        // Rules of a newer build divide too: they never go back.
        if books.rules().is_none_or(RulesVersion::divide) {
            return Ok(());
        }
        let adopt = JournalCommand::AdoptRules { operator_id: caller.operator_id, rules_version: RulesVersion::NEWEST.number() };
        let envelope = caller.envelope(ids.command("let rules divide"), caller.operator_id.0);
        match self.ledger.handle::<Journal>(&stream, adopt, &envelope).await {
            // Somebody else adopted them a moment ago.
            Ok(_) | Err(HandleError::Refused(JournalError::NotNewer { .. })) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
