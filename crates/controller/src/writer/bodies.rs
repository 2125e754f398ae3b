//! Bodies of new pods. The pods of one revision differ in nothing but the node that they are for, and the name that
//! derives from it, so a body is made once and these are put in for each.

use std::sync::{Arc, Mutex};

use everynode_engine::{DaemonSetRef, NewPod, Template, Uid, pod_body};
use everynode_model::encode::{to_vec, write_string};

/// Stands for the node while a body is made. A template can hold this text only by intent; then nothing is kept.
const NODE: &str = "everynode\u{1}node";

/// Stands for the pod's name in the same way.
const NAME: &str = "everynode\u{1}name";

/// How many revisions are kept. A roll-out makes pods of one; several DaemonSets may roll at a time.
const KEPT: usize = 32;

/// The bodies that were made last. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodBodies {
    kept: Arc<Mutex<Vec<Arc<Kept>>>>,
}

#[derive(Debug)]
struct Kept {
    daemonset: Uid,
    template: Arc<Template>,
    hash: Arc<str>,
    template_generation: Option<i64>,
    /// What comes before the name, when the pods are given one.
    before_name: Option<Vec<u8>>,
    before_node: Vec<u8>,
    after_node: Vec<u8>,
}

impl Kept {
    fn fits(&self, daemonset: &DaemonSetRef, pod: &NewPod) -> bool {
        self.daemonset == daemonset.uid
            && Arc::ptr_eq(&self.template, &pod.template)
            && self.hash == pod.hash
            && self.template_generation == pod.template_generation
            && self.before_name.is_some() == pod.name.is_some()
    }

    fn body(&self, pod: &NewPod) -> Vec<u8> {
        let (name, node) = (pod.name.as_deref().unwrap_or_default(), &*pod.node);
        let before_name = self.before_name.as_deref().unwrap_or_default();
        let fixed = before_name.len() + self.before_node.len() + self.after_node.len();
        let mut body = Vec::with_capacity(fixed + name.len() + node.len() + 4);
        if self.before_name.is_some() {
            body.extend_from_slice(before_name);
            write_string(&mut body, name);
        }
        body.extend_from_slice(&self.before_node);
        write_string(&mut body, node);
        body.extend_from_slice(&self.after_node);
        body
    }
}

impl PodBodies {
    /// The body to POST for a new pod: the bytes of [`pod_body::body`].
    pub(crate) fn body(&self, daemonset: &DaemonSetRef, pod: &NewPod) -> Vec<u8> {
        let mut all = match self.kept.lock() {
            Ok(all) => all,
            // No step under the lock leaves the list half changed.
            Err(poisoned) => poisoned.into_inner(),
        };
        let found = all.iter().find(|kept| kept.fits(daemonset, pod)).cloned();
        let kept = found.or_else(|| {
            let made = Arc::new(make(daemonset, pod)?);
            if all.len() >= KEPT {
                all.remove(0);
            }
            all.push(made.clone());
            Some(made)
        });
        drop(all);
        match kept {
            Some(kept) => kept.body(pod),
            None => to_vec(&pod_body::body(daemonset, pod)),
        }
    }
}

/// Makes a body with stand-ins for the node and the name and cuts it there; `None` when a stand-in is not there
/// exactly once, or they are not in this order.
fn make(daemonset: &DaemonSetRef, pod: &NewPod) -> Option<Kept> {
    let name = pod.name.as_ref().map(|_| NAME.into());
    let stand_in = NewPod { node: NODE.into(), name, ..pod.clone() };
    let bytes = to_vec(&pod_body::body(daemonset, &stand_in));
    let (before_name, bytes) = match &stand_in.name {
        Some(_) => cut(&bytes, NAME).map(|(before, after)| (Some(before.to_vec()), after))?,
        None => (None, &*bytes),
    };
    let (before_node, after_node) = cut(bytes, NODE)?;
    Some(Kept {
        daemonset: daemonset.uid,
        template: pod.template.clone(),
        hash: pod.hash.clone(),
        template_generation: pod.template_generation,
        before_name,
        before_node: before_node.to_vec(),
        after_node: after_node.to_vec(),
    })
}

/// What is before and after a text that is there exactly once.
fn cut<'a>(bytes: &'a [u8], text: &str) -> Option<(&'a [u8], &'a [u8])> {
    let mut quoted = Vec::new();
    write_string(&mut quoted, text);
    let mut found = bytes.windows(quoted.len()).enumerate().filter(|(_, part)| *part == quoted);
    let (at, None) = (found.next()?.0, found.next()) else { return None };
    Some((&bytes[..at], &bytes[at + quoted.len()..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(template: serde_json::Value) {
        let daemonset = DaemonSetRef { namespace: "ns".to_owned(), name: "ds".to_owned(), uid: Uid(1) };
        let template = Arc::new(Template::new(template));
        let bodies = PodBodies::default();
        let names = [None, Some("ds-n1"), Some("ds-\"2")];
        let pods = [("n1", "a"), ("n2", "a"), ("n\"3", "b"), ("n1", "b")].into_iter();
        for ((node, hash), name) in pods.flat_map(|pod| names.map(|name| (pod, name))) {
            let pod = NewPod {
                node: node.into(),
                name: name.map(Into::into),
                template: template.clone(),
                hash: hash.into(),
                template_generation: Some(4),
            };
            let expected = to_vec(&pod_body::body(&daemonset, &pod));
            let (made, expected) = (bodies.body(&daemonset, &pod), String::from_utf8(expected).unwrap());
            assert_eq!(String::from_utf8(made).unwrap(), expected);
        }
    }

    #[test]
    fn a_kept_body_is_the_body_that_would_be_made() {
        check(json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c"}]}}));
    }

    #[test]
    fn a_template_that_holds_the_stand_in_is_not_kept() {
        check(json!({"metadata": {"labels": {"app": NODE}}, "spec": {"hostname": NODE}}));
        check(json!({"metadata": {"labels": {"app": NAME}}, "spec": {"hostname": NAME}}));
    }

    #[test]
    fn no_more_than_some_bodies_are_kept() {
        let bodies = PodBodies::default();
        let template = Arc::new(Template::new(json!({"spec": {}})));
        for uid in 0..100 {
            let daemonset = DaemonSetRef { namespace: "ns".to_owned(), name: "ds".to_owned(), uid: Uid(uid) };
            let pod = NewPod {
                node: "n".into(),
                name: None,
                template: template.clone(),
                hash: "h".into(),
                template_generation: None,
            };
            bodies.body(&daemonset, &pod);
        }
        assert_eq!(bodies.kept.lock().unwrap().len(), KEPT);
    }
}
