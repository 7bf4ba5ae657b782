//! `user erase`.

use anyhow::anyhow;
use domain::log::StreamId;
use serde_json::json;

use crate::cli::User;
use crate::compose::staff;
use crate::config::Config;
use crate::output::{Answer, wrong_usage};
use crate::server::Way;

pub(crate) async fn run(config: &Config, what: &User) -> anyhow::Result<Answer> {
    let User::Erase { user, yes, through } = what;
    if !yes {
        wrong_usage!("nothing brings the personal data of {user} back; say --yes to go on");
    }
    let (changed, position) = match Way::find(config, through).await? {
        Way::Direct(writing) => {
            let done = async {
                let origin = writing.commands.origin(&StreamId::user(*user)).await?.ok_or_else(|| anyhow!("there is no user {user}"))?;
                let (caller, ids) = staff(&writing.commands, origin.operator_id);
                Ok::<_, anyhow::Error>(writing.commands.erase_user(&caller, &ids, *user).await?)
            }
            .await;
            writing.close().await;
            let done = done?;
            (!done.events.is_empty(), json!(done.position))
        }
        Way::Through(server) => {
            let erased = server.post(&format!("/v1/users/{user}/erase"), &json!({})).await?;
            (erased["position"].is_u64(), erased["position"].clone())
        }
    };
    let text = if changed { "erased: what was sealed for them cannot be read any more" } else { "had been erased before" };
    Answer::new(&json!({ "user_id": user, "erased": true, "changed": changed, "position": position }), format!("{user} {text}"))
}
