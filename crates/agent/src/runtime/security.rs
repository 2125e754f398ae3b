//! Who containers are and what they may: what the pod says where the container does not, as the runtime is told.

use everynode_cri::messages::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, ProfileType, SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy,
};

use crate::pod_spec::{Container, Pod, PodSecurityContext, PodSpec, Profile, SeLinuxOptions};

/// Whom an image runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// By number.
    pub uid: Option<i64>,
    /// By name.
    pub name: String,
}

/// Why a container may not be who it would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// It must not be root, and is told to be.
    #[error("container's runAsUser breaks non-root policy")]
    RunsAsRoot,
    /// It must not be root, and its image is.
    #[error("container has runAsNonRoot and image will run as root")]
    ImageIsRoot,
    /// It must not be root, and nobody knows who its image is.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({0}), cannot verify user is non-root"
    )]
    ImageIsUnknown(String),
}

/// What the kernel shows that containers are not to see, unless they ask for `procMount: Unmasked`.
const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// What they see and are not to change.
const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn namespaces(spec: &PodSpec) -> NamespaceOption {
    let of = |is_nodes: bool, otherwise: NamespaceMode| {
        i32::from(if is_nodes { NamespaceMode::Node } else { otherwise })
    };
    let own = match spec.share_process_namespace {
        Some(true) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: of(spec.host_network, NamespaceMode::Pod),
        pid: of(spec.host_pid, own),
        ipc: of(spec.host_ipc, NamespaceMode::Pod),
        ..NamespaceOption::default()
    }
}

/// The groups beside the first one: those that are asked for, and the one that owns the volumes.
fn groups(security: &PodSecurityContext) -> Vec<i64> {
    security.fs_group.into_iter().chain(security.supplemental_groups.iter().copied()).collect()
}

fn groups_policy(security: &PodSecurityContext) -> i32 {
    match security.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict.into(),
        _ => SupplementalGroupsPolicy::Merge.into(),
    }
}

fn number(value: Option<i64>) -> Option<Int64Value> {
    value.map(|value| Int64Value { value })
}

fn selinux(options: Option<&SeLinuxOptions>) -> Option<SeLinuxOption> {
    let options = options?;
    Some(SeLinuxOption {
        user: options.user.clone(),
        role: options.role.clone(),
        r#type: options.kind.clone(),
        level: options.level.clone(),
    })
}

/// A profile; of seccomp a file below the agent's folder, of AppArmor a name.
fn profile(profile: Option<&Profile>, default: ProfileType, folder: &str) -> SecurityProfile {
    match profile.map(|profile| (profile.kind.as_str(), profile.localhost_profile.as_deref())) {
        Some(("RuntimeDefault", _)) => {
            SecurityProfile { profile_type: ProfileType::RuntimeDefault.into(), ..SecurityProfile::default() }
        }
        Some(("Localhost", name)) => SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: format!("{folder}{}", name.unwrap_or_default()),
        },
        Some(_) => {
            SecurityProfile { profile_type: ProfileType::Unconfined.into(), ..SecurityProfile::default() }
        }
        None => SecurityProfile { profile_type: default.into(), ..SecurityProfile::default() },
    }
}

/// What the sandbox is, which holds the pod's namespaces.
pub(super) fn sandbox(pod: &Pod) -> LinuxSandboxSecurityContext {
    let (spec, security) = (&pod.spec, &pod.spec.security_context);
    let is_privileged = |one: &Container| one.security_context.privileged == Some(true);
    LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(spec)),
        selinux_options: selinux(security.se_linux_options.as_ref()),
        run_as_user: number(security.run_as_user),
        run_as_group: number(security.run_as_group.filter(|_| security.run_as_user.is_some())),
        supplemental_groups: groups(security),
        supplemental_groups_policy: groups_policy(security),
        privileged: spec.init_containers.iter().chain(&spec.containers).any(is_privileged),
        seccomp: Some(profile(None, ProfileType::RuntimeDefault, "")),
        ..LinuxSandboxSecurityContext::default()
    }
}

/// What a container is. `seccomp_folder` is where the profiles of the node are.
pub(super) fn container(
    pod: &Pod,
    container: &Container,
    image: &ImageUser,
    seccomp_folder: &str,
) -> Result<LinuxContainerSecurityContext, UserError> {
    let (whole, own) = (&pod.spec.security_context, &container.security_context);
    let user = own.run_as_user.or(whole.run_as_user);
    check_user(user, own.run_as_non_root.or(whole.run_as_non_root) == Some(true), image)?;
    let is_privileged = own.privileged == Some(true);
    let masks = own.proc_mount.as_deref() != Some("Unmasked") && !is_privileged;
    let paths = |paths: &[&str]| match masks {
        true => paths.iter().map(|path| (*path).to_owned()).collect(),
        false => Vec::new(),
    };
    let adds_all = own
        .capabilities
        .as_ref()
        .is_some_and(|one| one.add.iter().any(|name| name == "SYS_ADMIN" || name == "CAP_SYS_ADMIN"));
    let may_escalate = own.allow_privilege_escalation.unwrap_or(true) || is_privileged || adds_all;
    let by_number = user.or(image.uid);
    Ok(LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(|one| Capability {
            add_capabilities: one.add.clone(),
            drop_capabilities: one.drop.clone(),
            ..Capability::default()
        }),
        privileged: is_privileged,
        namespace_options: Some(namespaces(&pod.spec)),
        selinux_options: selinux(own.se_linux_options.as_ref().or(whole.se_linux_options.as_ref())),
        run_as_user: number(by_number),
        run_as_group: number(own.run_as_group.or(whole.run_as_group)),
        run_as_username: if by_number.is_none() { image.name.clone() } else { String::new() },
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(whole),
        supplemental_groups_policy: groups_policy(whole),
        no_new_privs: !may_escalate,
        masked_paths: paths(&MASKED_PATHS),
        readonly_paths: paths(&READ_ONLY_PATHS),
        seccomp: Some(profile(
            own.seccomp_profile.as_ref().or(whole.seccomp_profile.as_ref()),
            ProfileType::Unconfined,
            seccomp_folder,
        )),
        apparmor: own
            .app_armor_profile
            .as_ref()
            .or(whole.app_armor_profile.as_ref())
            .map(|asked| profile(Some(asked), ProfileType::RuntimeDefault, "")),
    })
}

fn check_user(user: Option<i64>, must_not_be_root: bool, image: &ImageUser) -> Result<(), UserError> {
    if !must_not_be_root {
        return Ok(());
    }
    match (user, image.uid, image.name.as_str()) {
        (Some(0), _, _) => Err(UserError::RunsAsRoot),
        (Some(_), _, _) => Ok(()),
        (None, Some(0), _) | (None, None, "") => Err(UserError::ImageIsRoot),
        (None, Some(_), _) => Ok(()),
        (None, None, name) => Err(UserError::ImageIsUnknown(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(security: &str, own: &str) -> Pod {
        let text = format!(
            r#"{{"spec":{{"securityContext":{security},"containers":[{{"name":"c","securityContext":{own}}}]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn of(security: &str, own: &str, image: &ImageUser) -> Result<LinuxContainerSecurityContext, UserError> {
        let pod = pod(security, own);
        container(&pod, &pod.spec.containers[0], image, "/profiles/")
    }

    #[test]
    fn what_the_container_says_comes_before_what_the_pod_says() {
        let image = ImageUser { uid: None, name: "daemon".to_owned() };
        let user = |security: &str, own: &str| {
            let found = of(security, own, &image).unwrap();
            (found.run_as_user.map(|user| user.value), found.run_as_username)
        };
        assert_eq!(user("{}", "{}"), (None, "daemon".to_owned()));
        assert_eq!(user(r#"{"runAsUser":5}"#, "{}"), (Some(5), String::new()));
        assert_eq!(user(r#"{"runAsUser":5}"#, r#"{"runAsUser":6}"#), (Some(6), String::new()));
    }

    #[test]
    fn whoever_must_not_be_root_is_not() {
        let check = |security: &str, own: &str, uid: Option<i64>, name: &str, expected: Option<UserError>| {
            let image = ImageUser { uid, name: name.to_owned() };
            assert_eq!(of(security, own, &image).err(), expected, "{security} {own} {image:?}");
        };
        let not_root = r#"{"runAsNonRoot":true}"#;
        check(not_root, "{}", Some(65534), "", None);
        check(not_root, "{}", Some(0), "", Some(UserError::ImageIsRoot));
        check(not_root, "{}", None, "", Some(UserError::ImageIsRoot));
        check(not_root, "{}", None, "www", Some(UserError::ImageIsUnknown("www".to_owned())));
        check(not_root, r#"{"runAsUser":0}"#, Some(1), "", Some(UserError::RunsAsRoot));
        check(not_root, r#"{"runAsUser":7}"#, None, "www", None);
        check(not_root, r#"{"runAsNonRoot":false}"#, Some(0), "", None);
    }

    #[test]
    fn powers_are_only_given_where_they_are_asked_for() {
        let image = ImageUser::default();
        let plain = of("{}", r#"{"allowPrivilegeEscalation":false}"#, &image).unwrap();
        assert!(plain.no_new_privs && !plain.privileged && plain.masked_paths.len() == MASKED_PATHS.len());
        let whole = of("{}", r#"{"privileged":true,"allowPrivilegeEscalation":false}"#, &image).unwrap();
        assert!(!whole.no_new_privs && whole.privileged && whole.masked_paths.is_empty());
        let local =
            of(r#"{"seccompProfile":{"type":"Localhost","localhostProfile":"a.json"}}"#, "{}", &image)
                .unwrap();
        assert_eq!(local.seccomp.unwrap().localhost_ref, "/profiles/a.json");
    }
}
