//! Publishing and withdrawing tariffs.

use domain::ids::TariffId;
use domain::log::StreamId;
use domain::tariff::{Tariff, TariffCommand, TariffTerms};
use domain::time::Timestamp;

use crate::Commands;
use crate::error::CommandError;
use crate::handle::Done;
use crate::request::{Caller, RequestIds};

impl Commands {
    /// Publishes a version of a tariff, the first or one more.
    ///
    /// # Errors
    /// When the terms leave a moment without a price, or the version would change the past.
    pub async fn publish_tariff(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        tariff_id: TariffId,
        name: String,
        effective_from: Timestamp,
        terms: TariffTerms,
    ) -> Result<Done<Tariff>, CommandError> {
        let stream = StreamId::tariff(tariff_id);
        if self.origin(&stream).await?.is_some_and(|origin| origin.operator_id != caller.operator_id) {
            return Err(CommandError::NotFound { what: "tariff", id: tariff_id.to_string() });
        }
        let operator_id = caller.operator_id;
        let published_at = caller.at;
        let command = TariffCommand::Publish { tariff_id, operator_id, name, effective_from, terms, published_at };
        let envelope = caller.envelope(ids.command("publish tariff"), tariff_id.0);
        Ok(self.ledger.handle_at::<Tariff>(&stream, command, &envelope, ids.revision()).await?)
    }

    /// Lets no session start under a tariff any more.
    ///
    /// # Errors
    /// When there is none.
    pub async fn withdraw_tariff(&self, caller: &Caller, ids: &RequestIds, tariff_id: TariffId) -> Result<Done<Tariff>, CommandError> {
        let stream = StreamId::tariff(tariff_id);
        self.owned("tariff", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command("withdraw tariff"), tariff_id.0);
        Ok(self.ledger.handle_at::<Tariff>(&stream, TariffCommand::Withdraw { tariff_id }, &envelope, ids.revision()).await?)
    }
}
