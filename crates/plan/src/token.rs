//! A fingerprint of what a plan depended on, in parts, so that it can be told which part has moved.

use sha2::{Digest, Sha256};

use crate::change::Change;
use crate::file::hex;
use crate::model::Model;
use crate::run::{Left, Run};
use everynode_engine::pod_body::HASH_LABEL;

/// What the parts are about, in their order.
const PARTS: [&str; 4] = ["the DaemonSet or its manifest", "the nodes", "its pods", "what fits"];
/// Hexadecimal digits per part.
const DIGITS: usize = 8;

/// The fingerprint, such as `3f2a91c0-5b7d0e12-9a41c6f0-00d1e2f3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// What a plan depended on. Heartbeats, status numbers and the coming and going of other pods that changes
    /// nothing for the plan are no part of it.
    pub fn of(change: &Change, model: &Model, run: &Run) -> Token {
        let mut parts = [const { String::new() }; 4];
        let metadata = change.live.as_ref().map(|live| &live["metadata"]);
        parts[0] = format!(
            "{}/{} {:?} {}",
            change.namespace,
            change.name,
            metadata.map(|metadata| (&metadata["uid"], &metadata["generation"])),
            change.written_sha256
        );
        for policy in &model.policies {
            parts[0].push_str(&format!("{} {:?} {:?}\n", policy.key.name, policy.spec, policy.commands));
        }
        for node in &model.nodes {
            parts[1].push_str(&format!("{} {} {:?}\n", node.name, node.is_up, node.verdict));
        }
        let mut pods: Vec<String> = model
            .pods
            .iter()
            .map(|pod| {
                let hash = pod.labels.iter().find(|(key, _)| key == HASH_LABEL);
                format!("{} {:?} {} {}", pod.uid, hash, pod.pod.ready, pod.pod.deleting)
            })
            .collect();
        pods.sort_unstable();
        parts[2] = pods.join("\n");
        let misfits = run.left.iter().filter(|(_, why)| matches!(why, Left::NoRoom(_)));
        parts[3] = format!("{:?}", misfits.collect::<Vec<_>>());
        Token(parts.map(|part| hex(&Sha256::digest(part)[..DIGITS / 2])).join("-"))
    }

    /// Reads a token that was printed.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Token, String> {
        let is_part = |part: &str| part.len() == DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parts: Vec<&str> = text.split('-').collect();
        match parts.len() == PARTS.len() && parts.iter().all(|part| is_part(part)) {
            true => Ok(Token(text.to_ascii_lowercase())),
            false => Err(format!("{text:?} is no token: copy the one that an earlier plan printed")),
        }
    }

    /// What is different now from what several tokens had, each of another plan; a token is of the plan that it is
    /// nearest to. A plan that none of them is of is told too.
    pub fn all_moved(then: &[Token], now: &[&Token]) -> Vec<&'static str> {
        let mut pairs: Vec<(Vec<&'static str>, usize, usize)> = Vec::new();
        for (old, token) in then.iter().enumerate() {
            pairs.extend(now.iter().enumerate().map(|(new, now)| (token.moved(now), old, new)));
        }
        pairs.sort_by_key(|(moved, ..)| moved.len());
        let (mut told, mut old_left, mut new_left) =
            (Vec::new(), vec![true; then.len()], vec![true; now.len()]);
        for (moved, old, new) in pairs {
            if old_left[old] && new_left[new] {
                (old_left[old], new_left[new]) = (false, false);
                told.extend(moved);
            }
        }
        if old_left.contains(&true) || new_left.contains(&true) {
            told.push("the number of plans");
        }
        let mut seen = std::collections::BTreeSet::new();
        told.retain(|part| seen.insert(*part));
        told
    }

    /// Which parts are different now.
    pub fn moved(&self, now: &Token) -> Vec<&'static str> {
        let pairs = self.0.split('-').zip(now.0.split('-')).zip(PARTS);
        pairs.filter(|((then, now), _)| then != now).map(|(_, part)| part).collect()
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}
