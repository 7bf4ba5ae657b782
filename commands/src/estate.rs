//! Stations, piles and connectors: registered, changed, retired.

use domain::agency::Ownership;
use domain::connector::{Connector, ConnectorCommand};
use domain::ids::{ConnectorId, PileId, StationId, TariffId};
use domain::log::StreamId;
use domain::pile::{Pile, PileCommand, PileDetails};
use domain::station::{Station, StationCommand, StationDetails};
use domain::time::ZoneName;

use crate::Commands;
use crate::error::CommandError;
use crate::handle::Done;
use crate::request::{Caller, RequestIds};

/// A station that is put into service.
#[derive(Debug, Clone)]
pub struct NewStation {
    /// Which.
    pub station_id: StationId,
    /// The operator's own code for it.
    pub code: String,
    /// What people need to find it.
    pub details: StationDetails,
    /// Its zone.
    pub zone: ZoneName,
    /// Whose it is; none when it is the operator's own.
    pub ownership: Option<Ownership>,
}

impl Commands {
    /// Puts a station of the operator's own into service.
    ///
    /// # Errors
    /// When its details cannot be.
    pub async fn register_station(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        station_id: StationId,
        code: String,
        details: StationDetails,
        zone: ZoneName,
    ) -> Result<Done<Station>, CommandError> {
        self.register_station_of(caller, ids, NewStation { station_id, code, details, zone, ownership: None }).await
    }

    /// Puts a station into service, whoever owns it.
    ///
    /// # Errors
    /// When its details or the owner's terms cannot be: nothing is done then.
    pub async fn register_station_of(&self, caller: &Caller, ids: &RequestIds, new: NewStation) -> Result<Done<Station>, CommandError> {
        let NewStation { station_id, code, details, zone, ownership } = new;
        let register = StationCommand::Register { station_id, operator_id: caller.operator_id, code, details, zone };
        let envelope = |name| caller.envelope(ids.command(name), station_id.0);
        let mut commands = vec![(register, envelope("register station"))];
        if ownership.is_some() {
            commands.push((StationCommand::SetOwnership { ownership }, envelope("set ownership")));
        }
        Ok(self.ledger.handle_all::<Station>(&StreamId::station(station_id), &commands).await?)
    }

    /// Says whose a station is, and what the operator keeps for running it: for the sessions that begin from now on. None makes it the operator's own.
    ///
    /// # Errors
    /// When there is none, or the terms cannot be.
    pub async fn set_station_ownership(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        station_id: StationId,
        ownership: Option<Ownership>,
    ) -> Result<Done<Station>, CommandError> {
        self.on_station(caller, ids, station_id, "set ownership", StationCommand::SetOwnership { ownership }).await
    }

    /// Changes what people need to find a station.
    ///
    /// # Errors
    /// When there is none, or the details cannot be.
    pub async fn change_station(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        station_id: StationId,
        details: StationDetails,
    ) -> Result<Done<Station>, CommandError> {
        self.on_station(caller, ids, station_id, "change station", StationCommand::Change { details }).await
    }

    /// Gives a station a tariff: sessions that start from now on take it.
    ///
    /// # Errors
    /// When there is no such station or tariff.
    pub async fn assign_tariff(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        station_id: StationId,
        tariff_id: TariffId,
    ) -> Result<Done<Station>, CommandError> {
        self.owned("tariff", &StreamId::tariff(tariff_id), caller.operator_id).await?;
        self.on_station(caller, ids, station_id, "assign tariff", StationCommand::AssignTariff { tariff_id }).await
    }

    /// Takes a station out of service.
    ///
    /// # Errors
    /// When there is none.
    pub async fn retire_station(&self, caller: &Caller, ids: &RequestIds, station_id: StationId) -> Result<Done<Station>, CommandError> {
        self.on_station(caller, ids, station_id, "retire station", StationCommand::Retire).await
    }

    async fn on_station(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        station_id: StationId,
        name: &str,
        command: StationCommand,
    ) -> Result<Done<Station>, CommandError> {
        let stream = StreamId::station(station_id);
        self.owned("station", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command(name), station_id.0);
        Ok(self.ledger.handle_at::<Station>(&stream, command, &envelope, ids.revision()).await?)
    }

    /// Puts a pile into service at a station.
    ///
    /// # Errors
    /// When there is no such station, or the details cannot be.
    pub async fn register_pile(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        pile_id: PileId,
        station_id: StationId,
        code: String,
        details: PileDetails,
    ) -> Result<Done<Pile>, CommandError> {
        self.owned("station", &StreamId::station(station_id), caller.operator_id).await?;
        let envelope = caller.envelope(ids.command("register pile"), station_id.0);
        let command = PileCommand::Register { pile_id, station_id, code, details };
        Ok(self.ledger.handle::<Pile>(&StreamId::pile(pile_id), command, &envelope).await?)
    }

    /// Takes a pile out of service.
    ///
    /// # Errors
    /// When there is none.
    pub async fn retire_pile(&self, caller: &Caller, ids: &RequestIds, pile_id: PileId) -> Result<Done<Pile>, CommandError> {
        let stream = StreamId::pile(pile_id);
        let origin = self.owned("pile", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command("retire pile"), origin.correlation_id);
        Ok(self.ledger.handle_at::<Pile>(&stream, PileCommand::Retire, &envelope, ids.revision()).await?)
    }

    /// Puts a connector into service on a pile.
    ///
    /// # Errors
    /// When there is no such pile, or the number cannot be.
    pub async fn register_connector(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        connector_id: ConnectorId,
        pile_id: PileId,
        number: u8,
    ) -> Result<Done<Connector>, CommandError> {
        let pile = StreamId::pile(pile_id);
        self.owned("pile", &pile, caller.operator_id).await?;
        let station_id = self
            .ledger
            .load::<Pile>(&pile)
            .await?
            .state
            .station_id()
            .ok_or_else(|| CommandError::NotFound { what: "pile", id: pile_id.to_string() })?;
        let envelope = caller.envelope(ids.command("register connector"), station_id.0);
        let command = ConnectorCommand::Register { connector_id, pile_id, station_id, number };
        Ok(self.ledger.handle::<Connector>(&StreamId::connector(connector_id), command, &envelope).await?)
    }

    /// Takes a connector out of service.
    ///
    /// # Errors
    /// When there is none, or a session has it.
    pub async fn retire_connector(
        &self,
        caller: &Caller,
        ids: &RequestIds,
        connector_id: ConnectorId,
    ) -> Result<Done<Connector>, CommandError> {
        let stream = StreamId::connector(connector_id);
        let origin = self.owned("connector", &stream, caller.operator_id).await?;
        let envelope = caller.envelope(ids.command("retire connector"), origin.correlation_id);
        Ok(self.ledger.handle_at::<Connector>(&stream, ConnectorCommand::Retire, &envelope, ids.revision()).await?)
    }
}
