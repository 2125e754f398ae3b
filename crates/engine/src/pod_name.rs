//! Names of pods that derive from the DaemonSet and the node, so that the API server refuses a second one.

/// The annotation of a DaemonSet that says how its pods are named.
pub const POD_NAMES: &str = "everynode.dev/pod-names";

/// How the pods of a DaemonSet are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodNames {
    /// The API server adds a random suffix to the DaemonSet's name ([C4](crate::spec#c4)).
    #[default]
    Random,
    /// By [`pod_name`].
    Node,
    /// The annotation has a value that is not known: as `Random`, with a warning.
    Unreadable,
}

impl PodNames {
    /// Reads the value of the annotation.
    pub fn parse(value: Option<&str>) -> Self {
        match value {
            None => PodNames::Random,
            Some("node") => PodNames::Node,
            Some(_) => PodNames::Unreadable,
        }
    }
}

/// The value of the annotation, when there is one.
pub(crate) fn annotation(annotations: &[(String, String)]) -> Option<&str> {
    annotations.iter().find(|(key, _)| key == POD_NAMES).map(|(_, value)| value.as_str())
}

/// The longest name of a pod: a DNS-1123 subdomain.
const LONGEST: usize = 253;
/// The length of the sum at the end of a name that has room for all.
const SUM: usize = 5;
/// ... and of one that was shortened, which only the sum tells from others.
const LONG_SUM: usize = 12;

/// The name of the pod of a DaemonSet on a node: `<daemonset>-<node>-<sum>`, under surge
/// `<daemonset>-<node>-<hash>-<sum>` with the revision's hash. The sum is over all parts and where they end: without
/// it `a-b` on `c` and `a` on `b-c` would have one name. What would be too long is cut before a longer sum.
pub fn pod_name(daemonset: &str, node: &str, hash: Option<&str>) -> String {
    let sum = sum(daemonset, node, hash.unwrap_or_default());
    let mut name = format!("{daemonset}-{node}");
    if let Some(hash) = hash {
        name.push('-');
        name.push_str(hash);
    }
    let is_long = name.len() + 1 + SUM > LONGEST;
    let digits = if is_long { LONG_SUM } else { SUM };
    if is_long {
        let cut = (0..=LONGEST - 1 - LONG_SUM).rfind(|at| name.is_char_boundary(*at));
        name.truncate(cut.unwrap_or_default());
        name.truncate(name.trim_end_matches(['-', '.']).len());
    }
    name.push('-');
    push_digits(&mut name, sum, digits);
    name
}

/// FNV-1a of the parts, each ended by a byte that no name has.
fn sum(daemonset: &str, node: &str, hash: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = [daemonset, node, hash].into_iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(OFFSET, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// Letters and digits that form no words.
fn push_digits(name: &mut String, mut sum: u64, digits: usize) {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    for _ in 0..digits {
        name.push(char::from(ALPHABET[(sum % 27) as usize]));
        sum /= 27;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_daemonset_and_node() {
        assert_eq!(pod_name("agent", "node-1.example", None), "agent-node-1.example-84cw7");
        assert_eq!(pod_name("agent", "node-1.example", Some("abc")), "agent-node-1.example-abc-pcdbg");
    }

    #[test]
    fn parts_that_read_alike_give_different_names() {
        let names = [
            pod_name("a-b", "c", None),
            pod_name("a", "b-c", None),
            pod_name("a", "b", Some("c")),
            pod_name("a-b", "", Some("c")),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{names:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_to_a_valid_one_and_stays_its_own() {
        let daemonset = "d".repeat(120);
        for length in 110..=253 {
            let node = format!("{}{}", "n".repeat(length / 2), ".x".repeat(length / 4));
            let (one, other) =
                (pod_name(&daemonset, &node, None), pod_name(&daemonset, &format!("{node}y"), None));
            assert!(one.len() <= LONGEST && other.len() <= LONGEST);
            assert_ne!(one, other);
            assert!(!one.contains(".-") && !one.contains("-."), "{one}");
        }
    }
}
