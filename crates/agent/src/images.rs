//! Images: whether they are there, and how they are pulled.

use std::time::Duration;

use everynode_cri::messages::{AuthConfig, Image, ImageSpec, ImageStatusRequest, PullImageRequest};
use everynode_cri::{CriError, ErrorKind};

use crate::context::Context;
use crate::events::PodEvent;
use crate::machine::{FailureReason, StepOutcome};
use crate::objects;
use crate::pod_spec::{Container, Pod, PullPolicy};
use crate::runtime::ImageUser;

/// A question to the runtime.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest pull.
const PULL_DEADLINE: Duration = Duration::from_secs(30 * 60);

/// An image as the runtime has it, if it has it.
///
/// # Errors
/// When the runtime does not answer.
pub async fn status(context: &Context, image: &str) -> Result<Option<Image>, CriError> {
    let request = ImageStatusRequest { image: Some(spec(image)), verbose: false };
    match context.runtime.call(request, DEADLINE).await {
        Ok(answer) => Ok(answer.image),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn spec(image: &str) -> ImageSpec {
    ImageSpec { image: image.to_owned(), ..ImageSpec::default() }
}

/// Whom an image runs as.
pub fn user(image: &Image) -> ImageUser {
    ImageUser { uid: image.uid.as_ref().map(|uid| uid.value), name: image.username.clone() }
}

/// Sees that the image of a container is there, by its pull policy.
pub async fn ensure(context: &Context, pod: &Pod, container: &Container) -> StepOutcome {
    let image = with_tag(&container.image);
    let failed = |reason: FailureReason, message: String| StepOutcome::Failed { reason, message };
    if !is_reference(&container.image) {
        let message = format!(
            "Failed to apply default image tag {:?}: it is no reference of an image",
            container.image
        );
        tell(context, pod, container, true, "InspectFailed", &message);
        return failed(FailureReason::InvalidImageName, message);
    }
    let found = match status(context, &image).await {
        Ok(found) => found,
        Err(error) => return failed(FailureReason::ImageInspectError, error.to_string()),
    };
    match (container.image_pull_policy, found) {
        (PullPolicy::Never | PullPolicy::IfNotPresent, Some(found)) => {
            let message = format!("Container image {:?} already present on machine", container.image);
            tell(context, pod, container, false, "Pulled", &message);
            StepOutcome::Image { image_ref: found.id }
        }
        (PullPolicy::Never, None) => {
            let message =
                format!("Container image {:?} is not present with pull policy of Never", container.image);
            tell(context, pod, container, true, "ErrImageNeverPull", &message);
            failed(FailureReason::ErrImageNeverPull, message)
        }
        (PullPolicy::Always | PullPolicy::IfNotPresent, _) => pull(context, pod, container, &image).await,
    }
}

async fn pull(context: &Context, pod: &Pod, container: &Container, image: &str) -> StepOutcome {
    let failed = |message: String| StepOutcome::Failed { reason: FailureReason::ErrImagePull, message };
    tell(context, pod, container, false, "Pulling", &format!("Pulling image {:?}", container.image));
    let credentials = match objects::registry_credentials(&context.recalled, pod).await {
        Ok(credentials) => credentials,
        Err(error) => return failed(error.to_string()),
    };
    // Those that fit, and then nobody: an image may be for everybody.
    let fitting = credentials.iter().filter(|(registry, ..)| is_of(image, registry));
    // Runtimes send them to no host but the one that is asked, unless an address says another one.
    let fitting = fitting.map(|(_, user, password)| AuthConfig {
        username: user.clone(),
        password: password.clone(),
        ..AuthConfig::default()
    });
    let mut last = String::new();
    for auth in fitting.map(Some).chain([None]) {
        let request = PullImageRequest { image: Some(spec(image)), auth, sandbox_config: None };
        match context.runtime.call(request, PULL_DEADLINE).await {
            Ok(answer) => {
                let message = format!("Successfully pulled image {:?}", container.image);
                tell(context, pod, container, false, "Pulled", &message);
                return StepOutcome::Image { image_ref: answer.image_ref };
            }
            Err(error) => last = error.to_string(),
        }
    }
    let message = format!("Failed to pull image {:?}: {last}", container.image);
    tell(context, pod, container, true, "Failed", &message);
    failed(last)
}

fn tell(context: &Context, pod: &Pod, container: &Container, is_warning: bool, reason: &str, message: &str) {
    context.events.tell(pod, PodEvent { container: &container.name, is_warning, reason, message });
}

/// An image that names neither a tag nor a digest is the latest one.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    match image.contains('@') || name.contains(':') {
        true => image.to_owned(),
        false => format!("{image}:latest"),
    }
}

/// Whether a text has the form of a reference: `registry:port/path/name:tag@digest`.
fn is_reference(image: &str) -> bool {
    let name = image.split('@').next().unwrap_or_default();
    let path = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => path,
        _ => name,
    };
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
    };
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    // The first part may be a registry, which has capitals and a port.
    let is_registry = path.contains('/')
        && !first.is_empty()
        && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    (is_part(first) || is_registry) && parts.all(is_part)
}

/// Whether credentials are of the registry that an image comes from.
fn is_of(image: &str, registry: &str) -> bool {
    let registry =
        registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let registry = registry.trim_end_matches("/v1").trim_end_matches("/v2");
    let host = image.split('/').next().unwrap_or_default();
    let has_host = image.contains('/') && (host.contains(['.', ':']) || host == "localhost");
    let full = if has_host { image.to_owned() } else { format!("docker.io/{image}") };
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    full.strip_prefix(registry).is_some_and(|rest| rest.starts_with('/') || rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, expected) in [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("a@sha256:0", "a@sha256:0"),
        ] {
            assert_eq!(with_tag(image), expected);
        }
    }

    #[test]
    fn a_reference_has_a_form() {
        for (image, expected) in [
            ("busybox", true),
            ("quay.io/prometheus/node-exporter:v1.5.0", true),
            ("LOCALHOST:5000/a", true),
            ("a@sha256:00", true),
            ("", false),
            ("UPPER", false),
            ("a b", false),
            ("/a", false),
            ("a//b", false),
            ("http://a/b", false),
        ] {
            assert_eq!(is_reference(image), expected, "{image:?}");
        }
    }

    #[test]
    fn credentials_go_to_their_registry_only() {
        for (image, registry, expected) in [
            ("quay.io/a/b:1", "quay.io", true),
            ("quay.io/a/b:1", "https://quay.io/v2/", true),
            ("quay.io/a/b:1", "quay.io/a", true),
            ("quay.io/ab/c", "quay.io/a", false),
            ("quay.io.evil/a", "quay.io", false),
            ("busybox", "https://index.docker.io/v1/", true),
            ("busybox", "quay.io", false),
        ] {
            assert_eq!(is_of(image, registry), expected, "{image} {registry}");
        }
    }
}
