//! What an operator of clusters looks for first in manifests: pinned images, limits, budgets, nothing that may become root, no secret in the repository.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::{documents, files, is_yaml, one_document, project};

/// The objects of ops/k8s.
fn objects() -> Vec<(String, Value)> {
    let manifests = files(&["k8s"]).into_iter().filter(|(name, _)| is_yaml(name));
    manifests.flat_map(|(name, text)| documents(&name, &text).into_iter().map(move |object| (name.clone(), object))).collect()
}

fn of_kind<'a>(objects: &'a [(String, Value)], kinds: &'a [&str]) -> impl Iterator<Item = (String, &'a Value)> {
    let is_wanted = |object: &Value| object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind));
    objects
        .iter()
        .filter(move |(_, object)| is_wanted(object))
        .map(|(name, object)| (format!("{name}: {}", object["metadata"]["name"]), object))
}

fn items<'a>(list: &'a Value, name: &str) -> &'a [Value] {
    list.as_array().unwrap_or_else(|| panic!("{name} has no list there"))
}

/// Whether an image says which one it is. Our own gets its tag where it is put together.
fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':'));
    tag.is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}

#[test]
fn images_are_pinned() {
    let objects = objects();
    for (name, object) in of_kind(&objects, &["Deployment", "StatefulSet"]) {
        for container in items(&object["spec"]["template"]["spec"]["containers"], &name) {
            let image = container["image"].as_str().unwrap();
            assert!(is_pinned(image) || image == "chargeledger", "{name} takes {image}");
        }
    }
    for (name, service) in one_document("ops/compose/compose.yaml")["services"].as_object().unwrap() {
        let image = service["image"].as_str().unwrap();
        assert!(is_pinned(image), "{name} takes {image}");
    }
    assert!(
        !is_pinned("registry.example.org:5000/nats") && !is_pinned("nats:latest") && is_pinned("registry.example.org:5000/nats:2.14.2")
    );
}

#[test]
fn every_container_has_bounds_and_probes_and_can_become_nothing_more() {
    let objects = objects();
    let mut count = 0;
    for (name, object) in of_kind(&objects, &["Deployment", "StatefulSet"]) {
        let pod = &object["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert!(!items(&pod["topologySpreadConstraints"], &name).is_empty(), "{name}");
        for container in items(&pod["containers"], &name) {
            count += 1;
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL", "{name}");
            assert!(
                container["resources"]["requests"]["memory"].is_string() && container["resources"]["limits"]["memory"].is_string(),
                "{name}"
            );
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert!(pod["containers"][0][probe].is_object(), "{name} has no {probe}");
        }
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn every_set_of_pods_has_a_disruption_budget_that_lets_one_go() {
    let objects = objects();
    let budgets: Vec<&Value> = of_kind(&objects, &["PodDisruptionBudget"]).map(|(_, budget)| &budget["spec"]).collect();
    for (name, object) in of_kind(&objects, &["Deployment", "StatefulSet"]) {
        let selector = &object["spec"]["selector"];
        let budget = budgets.iter().find(|budget| budget["selector"] == *selector).unwrap_or_else(|| panic!("{name} has no budget"));
        let replicas = object["spec"]["replicas"].as_u64().unwrap();
        let stays = budget["minAvailable"].as_u64().unwrap_or_else(|| replicas - budget["maxUnavailable"].as_u64().unwrap());
        assert!(stays >= 1 && stays < replicas, "{name}: {stays} of {replicas} have to stay");
    }
}

#[test]
fn no_secret_is_in_the_repository_and_no_traffic_is_allowed_that_nobody_named() {
    let objects = objects();
    assert_eq!(of_kind(&objects, &["Secret"]).count(), 0);
    let denied =
        |(_, policy): &(String, &Value)| policy["spec"]["podSelector"] == serde_json::json!({}) && policy["spec"].get("ingress").is_none();
    let deny = of_kind(&objects, &["NetworkPolicy"]).find(denied).expect("a policy that denies everything");
    assert_eq!(deny.1["spec"]["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
}

#[test]
fn every_file_that_is_put_together_is_there() {
    for (name, text) in files(&["k8s", "grafana"]).into_iter().filter(|(name, _)| name.ends_with("kustomization.yaml")) {
        let folder = project().join("ops").join(&name).parent().unwrap().to_owned();
        let whole = &documents(&name, &text)[0];
        let generated =
            whole["configMapGenerator"].as_array().into_iter().flatten().flat_map(|map| map["files"].as_array().into_iter().flatten());
        let taken = ["resources", "components"].into_iter().flat_map(|list| whole[list].as_array().into_iter().flatten());
        for path in taken.chain(generated).map(|path| path.as_str().unwrap()) {
            assert!(folder.join(path).exists(), "{name} takes {path}, which is not there");
        }
    }
}

#[test]
fn what_compose_mounts_is_there_or_is_made() {
    let compose = one_document("ops/compose/compose.yaml");
    let folder = project().join("ops/compose");
    let declared: BTreeSet<&str> = compose["secrets"].as_object().unwrap().keys().map(String::as_str).collect();
    for (name, service) in compose["services"].as_object().unwrap() {
        for volume in service["volumes"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|volume| volume.starts_with('.'))
        {
            let path = volume.split(':').next().unwrap_or_default();
            assert!(Path::new(&folder).join(path).exists(), "{name} mounts {path}, which is not there");
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let secret = secret.as_str().or(secret["source"].as_str()).unwrap();
            assert!(declared.contains(secret), "{name} reads the secret {secret}, which is none");
        }
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
    }
}
