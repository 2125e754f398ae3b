//! Events as the kubelet words them.

use crate::pod::{Note, PodFacts};

/// `Normal` or `Warning`, reason and message for what happened to one container.
pub(crate) fn wording(note: Note, facts: &PodFacts) -> Vec<(usize, &'static str, &'static str, String)> {
    let image = |index: usize| facts.containers[index].image.clone();
    let each = 0..facts.containers.len();
    match note {
        Note::Started => each
            .flat_map(|i| {
                let message = format!("Container image {:?} already present on machine", image(i));
                [
                    (i, "Normal", "Pulled", message),
                    (i, "Normal", "Created", "Container created".to_owned()),
                    (i, "Normal", "Started", "Container started".to_owned()),
                ]
            })
            .collect(),
        Note::Killing => each
            .map(|i| (i, "Normal", "Killing", format!("Stopping container {}", facts.containers[i].name)))
            .collect(),
        Note::PullFailed => unpullable(facts)
            .map(|i| {
                let image = image(i);
                let message = format!(
                    "Failed to pull image {image:?}: failed to resolve reference {image:?}: not found"
                );
                (i, "Warning", "Failed", message)
            })
            .collect(),
        Note::PullBackOff => unpullable(facts)
            .map(|i| (i, "Normal", "BackOff", format!("Back-off pulling image {:?}", image(i))))
            .collect(),
        Note::CrashBackOff => each
            .map(|i| {
                let (container, pod) = (&facts.containers[i].name, &facts.name);
                let message = format!(
                    "Back-off restarting failed container {container} in pod {pod}_{}({})",
                    facts.namespace, facts.uid
                );
                (i, "Warning", "BackOff", message)
            })
            .collect(),
    }
}

fn unpullable(facts: &PodFacts) -> impl Iterator<Item = usize> {
    facts
        .containers
        .iter()
        .enumerate()
        .filter(|(_, c)| crate::pod::is_unpullable(&c.image))
        .map(|(index, _)| index)
}
