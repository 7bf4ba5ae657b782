//! What has to be there before the first session: the operator, its tariff, stations, piles and connectors, users. Everything under ids that come out the same
//! again, so that doing it once more changes nothing.

use std::sync::Arc;

use anyhow::Context as _;
use commands::{Caller, Commands, RequestIds};
use domain::ids::{OperatorCode, OperatorId};
use domain::log::{Actor, StreamId};
use domain::operator::BookingMode;
use domain::time::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::Format;
use super::generate::Generator;
use super::plan::{Plan, PlannedStation};

/// Registrations under way at once.
const IN_FLIGHT: usize = 64;

/// The operator that belongs to a format, when nobody names another.
pub(crate) fn operator_of(format: &dyn Format) -> OperatorId {
    OperatorId::derived(Uuid::NAMESPACE_URL, &format!("chargeledger:demo:{}", format.name()))
}

/// Registers the operator that belongs to a format.
pub(crate) async fn register_operator(commands: &Commands, format: &dyn Format, at: Timestamp) -> anyhow::Result<OperatorId> {
    let operator_id = operator_of(format);
    let caller = Caller { operator_id, actor: Actor::system(&format!("generated {}", format.name())), at };
    // Nine characters, from the id: real ones are organisation codes.
    let code: OperatorCode = format!("{:09}", operator_id.0.as_u128() % 1_000_000_000).parse()?;
    let ids = RequestIds::new(operator_id.0);
    commands.register_operator(&caller, &ids, code, format.operator_name().to_owned(), format.zone(), BookingMode::Principal).await?;
    Ok(operator_id)
}

/// Makes everything that the plan's sessions need.
pub(crate) async fn prepare(commands: &Arc<Commands>, plan: &Plan, generator: &Generator) -> anyhow::Result<()> {
    let operator_id = plan.operator_id;
    commands.owned("operator", &StreamId::operator(operator_id), operator_id).await?;
    let opened_at = plan.opened_at();
    let made_up = Caller { operator_id, actor: generator.actor().clone(), at: opened_at };
    let tariff_id = generator.tariff_id();
    for (index, version) in generator.tariff(opened_at).into_iter().enumerate() {
        let ids = RequestIds::new(Uuid::new_v5(&tariff_id.0, &index.to_be_bytes()));
        let name = "public charging, by time of use".to_owned();
        commands.publish_tariff(&made_up, &ids, tariff_id, name, version.effective_from, version.terms).await.context("the tariff")?;
    }
    stream::iter(&plan.stations)
        .map(|station| register_station(commands, plan, generator, station))
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    stream::iter(generator.users())
        .map(|user| {
            let (made_up, user_id) = (&made_up, generator.user_id(user));
            async move {
                let ids = RequestIds::new(user_id.0);
                commands.register_user(made_up, &ids, user_id, generator.personal_data(user)).await.map(|_| ()).context("a user")
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await
}

async fn register_station(commands: &Commands, plan: &Plan, generator: &Generator, station: &PlannedStation) -> anyhow::Result<()> {
    let at = station.opened_at.plus_seconds(-3600);
    // Where it stands is the file's; that somebody registered it is not.
    let caller = Caller { operator_id: plan.operator_id, actor: generator.actor().clone(), at };
    let station_id = station.station_id;
    let ids = RequestIds::new(station_id.0);
    let PlannedStation { code, details, .. } = station;
    commands
        .register_station(&caller, &ids, station_id, code.clone(), details.clone(), plan.zone.clone())
        .await
        .with_context(|| format!("station {}", details.name))?;
    commands.assign_tariff(&caller, &ids, station_id, generator.tariff_id()).await?;
    for pile in &station.piles {
        let ids = RequestIds::new(pile.pile_id.0);
        commands.register_pile(&caller, &ids, pile.pile_id, station_id, pile.code.clone(), pile.details.clone()).await?;
        for (connector_id, number) in pile.connectors.iter().zip(1..) {
            let ids = RequestIds::new(connector_id.0);
            commands.register_connector(&caller, &ids, *connector_id, pile.pile_id, number).await?;
        }
    }
    Ok(())
}
