//! Devices that begin and end when told. What they report goes through the same door as a real device's facts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use commands::port::{DeviceError, DeviceGateway, StartOrder, StopOrder};
use commands::{Caller, Commands};
use domain::ids::{CommandId, ConnectorId};
use domain::log::{Actor, ActorKind, StreamId};
use domain::session::{DeviceFact, MeterReading, SessionRefs};
use domain::units::ReportedEnergy;
use tokio::sync::mpsc;
use tracing::warn;

/// How the simulated devices behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceMood {
    /// They begin when told, and say so.
    #[default]
    Willing,
    /// They take the order and say nothing: somebody else plays them, through device events.
    Silent,
    /// They say no.
    Refusing,
    /// They cannot be reached.
    Unreachable,
}

/// A device that has begun, and wants to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedDevice {
    /// Who and where.
    pub refs: SessionRefs,
    /// So that a repetition is recognised.
    pub command_id: CommandId,
}

/// Says for the simulated devices that they have begun, with a meter at nothing, through the same door as a real device's facts.
pub async fn speak(mut started: mpsc::UnboundedReceiver<StartedDevice>, commands: Arc<Commands>) {
    while let Some(StartedDevice { refs, command_id }) = started.recv().await {
        let operator = commands.origin(&StreamId::connector(refs.connector_id)).await;
        let Ok(Some(origin)) = operator else {
            warn!(connector.id = %refs.connector_id, "a simulated device belongs to no known connector");
            continue;
        };
        let at = commands.ledger.clock().now();
        let actor = Actor::new(ActorKind::Device, format!("simulated {}", refs.pile_id));
        let caller = Caller { operator_id: origin.operator_id, actor, at };
        let meter = MeterReading { register: ReportedEnergy::default(), read_at: at };
        let fact = DeviceFact::Started { meter };
        if let Err(error) = commands.device_fact(&caller, command_id, refs.connector_id, refs.session_id, fact).await {
            warn!(session.id = %refs.session_id, %error, "a simulated device's start was not recorded");
        }
    }
}

/// The way to devices that do not exist.
#[derive(Debug)]
pub struct SimulatedGateway {
    mood: DeviceMood,
    started: mpsc::UnboundedSender<StartedDevice>,
    orders: Mutex<HashMap<ConnectorId, Vec<CommandId>>>,
}

impl SimulatedGateway {
    /// Devices in this mood, and what they want to say. At most one start per session is under way, so the queue is bounded by the sessions that are starting.
    #[must_use]
    pub fn new(mood: DeviceMood) -> (SimulatedGateway, mpsc::UnboundedReceiver<StartedDevice>) {
        let (started, receiver) = mpsc::unbounded_channel();
        (SimulatedGateway { mood, started, orders: Mutex::default() }, receiver)
    }

    fn mood(&self) -> Result<(), DeviceError> {
        match self.mood {
            DeviceMood::Willing | DeviceMood::Silent => Ok(()),
            DeviceMood::Refusing => Err(DeviceError::Refused { reason: "the simulated device refuses".to_owned() }),
            DeviceMood::Unreachable => Err(DeviceError::Unreachable),
        }
    }

    /// A device carries out an order once, however often it comes.
    fn is_new(&self, connector: ConnectorId, order: CommandId) -> bool {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let known = orders.entry(connector).or_default();
        if known.contains(&order) {
            return false;
        }
        known.push(order);
        // An order expires after a minute; the last few are enough to recognise a repetition.
        if known.len() > 8 {
            known.remove(0);
        }
        true
    }
}

#[async_trait]
impl DeviceGateway for SimulatedGateway {
    async fn start(&self, order: StartOrder) -> Result<(), DeviceError> {
        self.mood()?;
        if self.is_new(order.refs.connector_id, order.command_id) && self.mood == DeviceMood::Willing {
            // Nobody listens when the ledger is stopping: the start times out then, as it would with a real device.
            let _ = self.started.send(StartedDevice { refs: order.refs, command_id: order.command_id });
        }
        Ok(())
    }

    async fn stop(&self, order: StopOrder) -> Result<(), DeviceError> {
        self.mood()?;
        self.is_new(order.refs.connector_id, order.command_id);
        Ok(())
    }
}
