//! What devices report. Facts are never refused: what cannot be placed is refused at the edge, what can be placed is recorded and judged.

use domain::connector::{Connector, ConnectorCommand};
use domain::ids::{CommandId, ConnectorId, SessionId};
use domain::log::{Position, StreamId};
use domain::session::{DeviceFact, Session, SessionCommand, is_ahead};
use domain::time::Timestamp;
use tracing::warn;

use crate::Commands;
use crate::error::CommandError;
use crate::handle::Done;
use crate::request::Caller;

/// What a connector says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectorReport {
    /// In order.
    Online,
    /// It said goodbye, or its gateway lost it.
    Offline,
    /// Broken, with the device's own code.
    Faulted {
        /// The code.
        code: String,
    },
    /// The fault is over.
    FaultCleared,
}

impl Commands {
    /// Records what a device says of a session. A session that nobody has heard of is opened from it, with the prices in force.
    ///
    /// # Errors
    /// When the connector does not exist, or the session runs on another one.
    pub async fn device_fact(
        &self,
        caller: &Caller,
        command_id: CommandId,
        connector_id: ConnectorId,
        session_id: SessionId,
        fact: DeviceFact,
    ) -> Result<Done<Session>, CommandError> {
        let received_at = self.ledger.clock().now();
        let caller = &heard_at(caller, received_at);
        let stream = StreamId::session(session_id);
        let known = self.ledger.load::<Session>(&stream).await?.state;
        let discovery = match known.terms() {
            Some(terms) => {
                self.owned("session", &stream, caller.operator_id).await?;
                if terms.refs.connector_id != connector_id {
                    return Err(CommandError::NotFound { what: "session on this connector", id: session_id.to_string() });
                }
                None
            }
            None => {
                let spot = self.spot(caller, connector_id, session_id, None, caller.at).await?;
                Some(Box::new(spot.discovery(&fact, caller.at)?))
            }
        };
        let envelope = caller.envelope(command_id, session_id.0);
        Ok(self.ledger.handle::<Session>(&stream, SessionCommand::Receive { fact, received_at, discovery }, &envelope).await?)
    }

    /// Records what a connector says of itself; answers where it landed, if it said something new.
    ///
    /// # Errors
    /// When there is no such connector.
    pub async fn connector_report(
        &self,
        caller: &Caller,
        command_id: CommandId,
        connector_id: ConnectorId,
        report: ConnectorReport,
    ) -> Result<Option<Position>, CommandError> {
        let caller = &heard_at(caller, self.ledger.clock().now());
        let stream = StreamId::connector(connector_id);
        let origin = self.owned("connector", &stream, caller.operator_id).await?;
        let command = match report {
            ConnectorReport::Online => ConnectorCommand::ReportOnline,
            ConnectorReport::Offline => ConnectorCommand::ReportOffline,
            ConnectorReport::Faulted { code } => ConnectorCommand::ReportFaulted { code },
            ConnectorReport::FaultCleared => ConnectorCommand::ReportFaultCleared,
        };
        let envelope = caller.envelope(command_id, origin.correlation_id);
        Ok(self.ledger.handle::<Connector>(&stream, command, &envelope).await?.position)
    }
}

/// A device whose clock is ahead: it happened at the latest when we heard of it. Without this, what follows from it would stand in the books of another year.
fn heard_at(caller: &Caller, received_at: Timestamp) -> Caller {
    if !is_ahead(caller.at, received_at) {
        return caller.clone();
    }
    warn!(actor = %caller.actor, claimed_at = %caller.at, "a device's clock is ahead; what it reports is dated when it came");
    Caller { at: received_at, ..caller.clone() }
}
