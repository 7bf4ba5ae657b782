//! Old stored forms → the newest form, one version at a time. Nobody else reads old forms.
//!
//! An upcaster is a pure function from one version's payload to the next one's. To change an event's shape: add the upcaster here, keep
//! the old golden file, and write the new one (docs/howto/add-an-event.md).

mod pile_registered_v1;

/// From one version's payload to the next one's.
type Upcaster = fn(&[u8]) -> Result<Vec<u8>, String>;

/// (stored name, from version, how). Versions of a name are listed without a gap from 1.
const UPCASTERS: &[(&str, u16, Upcaster)] = &[("pile.registered", 1, pile_registered_v1::raise)];

/// The version in which events of this name are written.
#[must_use]
pub fn newest_version(name: &str) -> u16 {
    UPCASTERS.iter().filter(|(of, _, _)| *of == name).map(|(_, from, _)| from + 1).max().unwrap_or(1)
}

/// Brings a payload up from `version` to the newest.
pub(crate) fn raise(name: &str, version: u16, payload: &[u8]) -> Result<Vec<u8>, String> {
    (version..newest_version(name)).try_fold(payload.to_vec(), |payload, from| {
        let (_, _, upcast) = UPCASTERS
            .iter()
            .find(|(of, version, _)| *of == name && *version == from)
            .ok_or_else(|| format!("no upcaster from version {from}"))?;
        upcast(&payload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_listed_without_a_gap_from_1() {
        for (name, ..) in UPCASTERS {
            let mut versions: Vec<u16> = UPCASTERS.iter().filter(|(of, ..)| of == name).map(|(_, from, _)| *from).collect();
            versions.sort_unstable();
            assert_eq!(versions, (1..newest_version(name)).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn what_never_changed_is_version_1() {
        assert_eq!(newest_version("pile.retired"), 1);
    }
}
