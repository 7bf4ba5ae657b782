//! With what a client proves who it is to a server that knows keys instead of passwords: a credentials file, or the seed of a key pair.
//!
//! Deliberately absent: printing any of it. What is wrong with a file is said without what stands in it.

use std::fmt;
use std::path::Path;

use async_nats::ConnectOptions;
use nkeys::KeyPair;

/// How long a seed is, and how a user's begins.
const SEED_LENGTH: usize = 58;
const USER_SEED: &str = "SU";

/// What was read.
#[derive(Clone)]
pub struct Credentials(Held);

#[derive(Clone)]
enum Held {
    /// What stands in a credentials file: the user's JWT, and the seed of the key that signs for it.
    File(String),
    /// The seed of a key that the server knows by itself.
    Seed(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// From a setting: the path of a credentials file (`nsc generate creds`), the path of a file that holds a user's seed, or such a seed itself.
    ///
    /// # Errors
    /// What is wrong, without a secret.
    pub fn read(setting: &str) -> Result<Credentials, String> {
        let setting = setting.trim();
        if is_seed(setting) {
            return Credentials::of_seed(setting)
                .ok_or_else(|| "it looks like the seed of a key and is none: is it cut short or mistyped?".to_owned());
        }
        let path = Path::new(setting);
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("the credentials file {} cannot be read: {error}", path.display()))?;
        let named = |reason: &str| format!("{} holds no credentials: {reason}", path.display());
        if text.contains("-----BEGIN") {
            // What the client says of it is not repeated: nobody knows what it quotes.
            let can_be_read = ConnectOptions::with_credentials(&text).is_ok();
            return if can_be_read { Ok(Credentials(Held::File(text))) } else { Err(named("its JWT or its seed cannot be read")) };
        }
        Credentials::of_seed(text.trim())
            .ok_or_else(|| named("neither a JWT and a seed, as `nsc generate creds` writes them, nor a user's seed (SU…)"))
    }

    fn of_seed(seed: &str) -> Option<Credentials> {
        let is_one = is_seed(seed) && KeyPair::from_seed(seed).is_ok();
        is_one.then(|| Credentials(Held::Seed(seed.to_owned())))
    }

    /// Options that show them to the server.
    pub(crate) fn shown_by(&self, options: ConnectOptions) -> std::io::Result<ConnectOptions> {
        match &self.0 {
            Held::File(text) => options.credentials(text),
            Held::Seed(seed) => Ok(options.nkey(seed.clone())),
        }
    }
}

fn is_seed(text: &str) -> bool {
    text.len() == SEED_LENGTH && text.starts_with(USER_SEED) && text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::Nats;
    use crate::testing::Servers;

    async fn may_enter(servers: &Servers, credentials: Option<&Credentials>) -> bool {
        Nats::connect(&servers.urls(), "test", credentials).await.is_ok()
    }

    #[tokio::test]
    async fn a_server_that_knows_a_key_lets_its_seed_in_and_no_other() {
        let (known, other) = (KeyPair::new_user(), KeyPair::new_user());
        let accounts = format!("authorization {{ users: [{{ nkey: {} }}] }}", known.public_key());
        let Some(servers) = Servers::with(1, &accounts) else { return };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed.nk");
        std::fs::write(&file, format!("{}\n", known.seed().unwrap())).unwrap();
        for setting in [known.seed().unwrap(), file.to_str().unwrap().to_owned()] {
            assert!(may_enter(&servers, Some(&Credentials::read(&setting).unwrap())).await);
        }
        assert!(!may_enter(&servers, Some(&Credentials::read(&other.seed().unwrap()).unwrap())).await);
        assert!(!may_enter(&servers, None).await);
    }

    /// A JWT as NATS has them, signed by whoever answers for it.
    fn jwt(subject: &KeyPair, issuer: &KeyPair, name: &str, nats: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject.public_key(), "nats": nats });
        let said = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(issuer.sign(said.as_bytes()).unwrap());
        format!("{said}.{signature}")
    }

    fn creds(jwt: &str, seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    #[tokio::test]
    async fn a_server_of_an_operator_lets_in_who_has_a_jwt_of_an_account_and_its_seed() {
        let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
        let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1 });
        let of_account =
            |pair: &KeyPair, name: &str| jwt(pair, &operator, name, &json!({ "type": "account", "version": 2, "limits": limits }));
        let system_claims = json!({ "type": "account", "version": 2, "limits": { "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 } });
        let settings = format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
            jwt(&operator, &operator, "operator", &json!({ "type": "operator", "version": 2 })),
            system.public_key(),
            account.public_key(),
            of_account(&account, "ledger"),
            system.public_key(),
            jwt(&system, &operator, "system", &system_claims),
        );
        let Some(servers) = Servers::with(1, &settings) else { return };
        let of_user = jwt(&user, &account, "feed", &json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 }));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed.creds");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Credentials::read(file.to_str().unwrap())
        };
        let right = read(&creds(&of_user, &user.seed().unwrap())).unwrap();
        assert!(may_enter(&servers, Some(&right)).await);
        let signed_by_another = read(&creds(&of_user, &other.seed().unwrap())).unwrap();
        assert!(!may_enter(&servers, Some(&signed_by_another)).await);
        assert!(!may_enter(&servers, None).await);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("feed.creds");
        let error = |setting: &str| Credentials::read(setting).unwrap_err();
        assert!(error(file.to_str().unwrap()).contains("feed.creds cannot be read: No such file"));
        assert!(error(directory.path().to_str().unwrap()).contains("cannot be read"));
        let seed = KeyPair::new_user().seed().unwrap();
        let cut = &seed[..57];
        let mistyped = format!("{cut}{}", if seed.ends_with('A') { 'B' } else { 'A' });
        for text in [cut.to_owned(), mistyped.clone(), creds("a.b.c", &mistyped), creds("a.b.c", ""), "password".to_owned(), String::new()]
        {
            std::fs::write(&file, &text).unwrap();
            let said = error(file.to_str().unwrap());
            assert!(said.contains("feed.creds holds no credentials: ") && !said.contains(&seed[4..20]), "{said}");
        }
        assert!(error(&mistyped).contains("is it cut short or mistyped?") && !error(&mistyped).contains(&seed[4..20]));
        assert_eq!(format!("{:?}", Credentials::read(&seed).unwrap()), "Credentials(…)");
    }
}
