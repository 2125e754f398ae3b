//! What messages look like on the wire.
//!
//! The bytes are written down by the rules of protobuf: a field is its number times eight plus its type (0 a varint, 2
//! a length and so many bytes), and then its value.
#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::fmt::Debug;

use everynode_cri::messages::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;

fn check<M: Message + Default + PartialEq + Debug>(message: &M, bytes: &[u8]) {
    assert_eq!(message.encode_to_vec(), bytes, "{message:?}");
    assert_eq!(&M::decode(bytes).unwrap(), message);
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn messages_of_sandboxes_have_their_numbers() {
    let metadata = PodSandboxMetadata { name: text("n"), uid: text("u"), namespace: text("s"), attempt: 2 };
    check(&metadata, b"\x0a\x01n\x12\x01u\x1a\x01s\x20\x02");
    let linux = LinuxPodSandboxConfig {
        cgroup_parent: text("/p"),
        sysctls: [(text("a"), text("1"))].into(),
        ..Default::default()
    };
    check(&linux, b"\x0a\x02/p\x1a\x06\x0a\x01a\x12\x011");
    let config = PodSandboxConfig {
        metadata: Some(metadata),
        hostname: text("h"),
        log_directory: text("/l"),
        dns_config: Some(DnsConfig {
            servers: vec![text("1")],
            searches: vec![text("2")],
            options: vec![text("3")],
        }),
        port_mappings: vec![PortMapping {
            protocol: Protocol::Udp.into(),
            container_port: 80,
            host_port: 300,
            host_ip: text("i"),
        }],
        labels: [(text("k"), text("v"))].into(),
        annotations: [(text("x"), text("y"))].into(),
        linux: Some(linux),
    };
    let bytes = b"\x0a\x0b\x0a\x01n\x12\x01u\x1a\x01s\x20\x02\
        \x12\x01h\
        \x1a\x02/l\
        \x22\x09\x0a\x011\x12\x012\x1a\x013\
        \x2a\x0a\x08\x01\x10\x50\x18\xac\x02\x22\x01i\
        \x32\x06\x0a\x01k\x12\x01v\
        \x3a\x06\x0a\x01x\x12\x01y\
        \x42\x0c\x0a\x02/p\x1a\x06\x0a\x01a\x12\x011";
    check(&config, bytes);
}

#[test]
fn the_namespaces_of_a_sandbox_have_their_numbers() {
    let range = IdMapping { host_id: 65_536, container_id: 0, length: 1 };
    check(&range, b"\x08\x80\x80\x04\x18\x01");
    let users =
        UserNamespace { mode: NamespaceMode::Pod.into(), uids: vec![range.clone()], gids: vec![range] };
    let options = NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ipc: NamespaceMode::Target.into(),
        target_id: text("t"),
        userns_options: Some(users),
    };
    let bytes = b"\x08\x02\x10\x01\x18\x03\x22\x01t\
        \x2a\x10\x12\x06\x08\x80\x80\x04\x18\x01\x1a\x06\x08\x80\x80\x04\x18\x01";
    check(&options, bytes);
}

#[test]
fn the_rights_of_a_sandbox_have_their_numbers() {
    let security = LinuxSandboxSecurityContext {
        namespace_options: None,
        selinux_options: Some(SeLinuxOption {
            user: text("u"),
            role: text("r"),
            r#type: text("t"),
            level: text("l"),
        }),
        run_as_user: Some(Int64Value { value: 0 }),
        run_as_group: Some(Int64Value { value: 7 }),
        readonly_rootfs: true,
        supplemental_groups: vec![1, 300],
        supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
        privileged: true,
        seccomp: Some(SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: text("p"),
        }),
        apparmor: Some(SecurityProfile::default()),
    };
    // In the order of the struct; the order of fields on the wire is free.
    let found = LinuxSandboxSecurityContext::decode(
        &b"\x12\x0c\x0a\x01u\x12\x01r\x1a\x01t\x22\x01l\
        \x1a\x00\
        \x20\x01\
        \x2a\x03\x01\xac\x02\
        \x30\x01\
        \x42\x02\x08\x07\
        \x4a\x05\x08\x02\x12\x01p\
        \x52\x00\
        \x58\x01"[..],
    );
    assert_eq!(found.unwrap(), security, "a user id of 0 is not a missing one");
}

#[test]
fn the_rights_of_a_container_have_their_numbers() {
    let security = LinuxContainerSecurityContext {
        capabilities: Some(Capability {
            add_capabilities: vec![text("A")],
            drop_capabilities: vec![text("D")],
            add_ambient_capabilities: vec![text("B")],
        }),
        privileged: true,
        namespace_options: Some(NamespaceOption::default()),
        selinux_options: Some(SeLinuxOption::default()),
        run_as_user: Some(Int64Value { value: -1 }),
        run_as_group: Some(Int64Value { value: 1 }),
        run_as_username: text("n"),
        readonly_rootfs: true,
        supplemental_groups: vec![5],
        supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
        no_new_privs: true,
        masked_paths: vec![text("/m")],
        readonly_paths: vec![text("/r")],
        seccomp: Some(SecurityProfile {
            profile_type: ProfileType::Unconfined.into(),
            localhost_ref: text(""),
        }),
        apparmor: Some(SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: text("a"),
        }),
    };
    let found = LinuxContainerSecurityContext::decode(
        &b"\x0a\x09\x0a\x01A\x12\x01D\x1a\x01B\
        \x10\x01\
        \x1a\x00\
        \x22\x00\
        \x2a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\
        \x32\x01n\
        \x38\x01\
        \x42\x01\x05\
        \x58\x01\
        \x62\x02\x08\x01\
        \x6a\x02/m\
        \x72\x02/r\
        \x7a\x02\x08\x01\
        \x82\x01\x05\x08\x02\x12\x01a\
        \x88\x01\x01"[..],
    );
    assert_eq!(found.unwrap(), security);
}

#[test]
fn what_a_container_gets_of_the_machine_has_its_numbers() {
    let resources = LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit_in_bytes: 1 << 20,
        oom_score_adj: -998,
        cpuset_cpus: text("0"),
        cpuset_mems: text("1"),
        hugepage_limits: vec![HugepageLimit { page_size: text("2MB"), limit: 4 }],
        unified: [(text("k"), text("v"))].into(),
        memory_swap_limit_in_bytes: 3,
    };
    let bytes = b"\x08\xa0\x8d\x06\x10\xd0\x86\x03\x18\x80\x04\x20\x80\x80\x40\
        \x28\x9a\xf8\xff\xff\xff\xff\xff\xff\xff\x01\
        \x32\x010\x3a\x011\
        \x42\x07\x0a\x032MB\x10\x04\
        \x4a\x06\x0a\x01k\x12\x01v\
        \x50\x03";
    check(&resources, bytes);
    let mount = Mount {
        container_path: text("/c"),
        host_path: text("/h"),
        readonly: true,
        selinux_relabel: true,
        propagation: MountPropagation::Bidirectional.into(),
        uid_mappings: vec![IdMapping { host_id: 1, container_id: 2, length: 3 }],
        gid_mappings: vec![IdMapping { host_id: 4, container_id: 5, length: 6 }],
        recursive_read_only: true,
        image: Some(ImageSpec { image: text("i"), ..Default::default() }),
        image_sub_path: text("s"),
    };
    let bytes = b"\x0a\x02/c\x12\x02/h\x18\x01\x20\x01\x28\x02\
        \x32\x06\x08\x01\x10\x02\x18\x03\
        \x3a\x06\x08\x04\x10\x05\x18\x06\
        \x40\x01\x4a\x03\x0a\x01i\x52\x01s";
    check(&mount, bytes);
    let device = Device { container_path: text("/c"), host_path: text("/h"), permissions: text("rw") };
    check(&device, b"\x0a\x02/c\x12\x02/h\x1a\x02rw");
}

#[test]
fn a_container_has_its_numbers() {
    let config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: text("n"), attempt: 1 }),
        image: Some(ImageSpec {
            image: text("i"),
            annotations: [(text("k"), text("v"))].into(),
            user_specified_image: text("u"),
            runtime_handler: text("r"),
            image_ref: text("d"),
        }),
        command: vec![text("c")],
        args: vec![text("a"), text("b")],
        working_dir: text("/w"),
        envs: vec![KeyValue { key: text("K"), value: b"\xff".to_vec() }],
        mounts: vec![Mount::default()],
        devices: vec![Device::default()],
        log_path: text("l"),
        stdin: true,
        stdin_once: true,
        tty: true,
        linux: Some(LinuxContainerConfig::default()),
        cdi_devices: vec![CdiDevice { name: text("x") }],
        stop_signal: Signal::Sigterm.into(),
        ..Default::default()
    };
    let bytes = b"\x0a\x05\x0a\x01n\x10\x01\
        \x12\x17\x0a\x01i\x12\x06\x0a\x01k\x12\x01v\x92\x01\x01u\x9a\x01\x01r\xa2\x01\x01d\
        \x1a\x01c\x22\x01a\x22\x01b\x2a\x02/w\
        \x32\x06\x0a\x01K\x12\x01\xff\
        \x3a\x00\x42\x00\
        \x5a\x01l\x60\x01\x68\x01\x70\x01\
        \x7a\x00\
        \x8a\x01\x03\x0a\x01x\
        \x90\x01\x17";
    check(&config, bytes);
    assert_eq!(Signal::Sigrtmax as i32, 65);
}

#[test]
fn a_status_of_a_newer_runtime_is_read_past_what_we_do_not_know() {
    let bytes = b"\x0a\x01i\x18\x02\x20\x01\x28\x02\x30\x03\x38\x89\x01\
        \x52\x05Error\x5a\x01m\x7a\x02/l\
        \x82\x01\x04\x0a\x02\x18\x02\
        \x8a\x01\x01x\
        \x92\x01\x04\x0a\x02\x08\x07\
        \x98\x01\x17\
        \xf2\x3f\x03new\xf8\x3f\x01";
    let status = ContainerStatus::decode(&bytes[..]).unwrap();
    assert_eq!(status.state(), ContainerState::Exited);
    assert_eq!((status.created_at, status.started_at, status.finished_at), (1, 2, 3));
    assert_eq!((status.exit_code, status.reason.as_str(), status.message.as_str()), (137, "Error", "m"));
    assert_eq!((status.log_path.as_str(), status.image_id.as_str()), ("/l", "x"));
    assert_eq!(status.resources.unwrap_or_default().linux.unwrap().cpu_shares, 2);
    assert_eq!(status.user.unwrap_or_default().linux.unwrap().uid, 7);
    assert_eq!(Signal::try_from(status.stop_signal), Ok(Signal::Sigterm));
}

#[test]
fn figures_have_their_numbers() {
    let count = |value| Some(UInt64Value { value });
    let memory = MemoryUsage {
        timestamp: 1,
        working_set_bytes: count(2),
        available_bytes: count(3),
        usage_bytes: count(4),
        rss_bytes: count(5),
        page_faults: count(6),
        major_page_faults: count(7),
        psi: Some(PsiStats { full: None, some: Some(PsiData { avg10: 1.0, ..Default::default() }) }),
    };
    let bytes = b"\x08\x01\x12\x02\x08\x02\x1a\x02\x08\x03\x22\x02\x08\x04\x2a\x02\x08\x05\x32\x02\x08\x06\x3a\x02\x08\x07\
        \x42\x0b\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf0\x3f";
    check(&memory, bytes);
}

#[test]
fn secrets_are_not_printed() {
    let auth = AuthConfig { password: text("secret"), auth: text("secret"), ..Default::default() };
    let variable = KeyValue { key: text("TOKEN"), value: b"secret".to_vec() };
    let secret_bytes = format!("{:?}", b"secret");
    for printed in [format!("{auth:?}"), format!("{variable:?}")] {
        assert!(!printed.contains("secret") && !printed.contains(&secret_bytes), "{printed}");
    }
}

prop_compose! {
    fn resources()(
        numbers in any::<[i64; 5]>(),
        cpus in ".*",
        unified in btree_map(".*", ".*", 0..3),
        huge in vec((".*", any::<u64>()), 0..3),
    ) -> LinuxContainerResources {
        let [cpu_period, cpu_quota, memory_limit_in_bytes, oom_score_adj, memory_swap_limit_in_bytes] = numbers;
        let hugepage_limits = huge.into_iter().map(|(page_size, limit)| HugepageLimit { page_size, limit });
        LinuxContainerResources {
            cpu_period, cpu_quota, memory_limit_in_bytes, oom_score_adj, memory_swap_limit_in_bytes,
            cpuset_cpus: cpus, unified, hugepage_limits: hugepage_limits.collect(), ..Default::default()
        }
    }
}

prop_compose! {
    fn security()(
        words in vec(".*", 0..4),
        groups in vec(any::<i64>(), 0..4),
        user in proptest::option::of(any::<i64>()),
        flags in any::<[bool; 3]>(),
        profile in proptest::option::of((0..3_i32, ".*")),
    ) -> LinuxContainerSecurityContext {
        let seccomp = profile.map(|(profile_type, localhost_ref)| SecurityProfile { profile_type, localhost_ref });
        let [privileged, readonly_rootfs, no_new_privs] = flags;
        LinuxContainerSecurityContext {
            privileged, readonly_rootfs, no_new_privs, seccomp,
            masked_paths: words.clone(),
            capabilities: Some(Capability { drop_capabilities: words, ..Default::default() }),
            supplemental_groups: groups,
            run_as_user: user.map(|value| Int64Value { value }),
            ..Default::default()
        }
    }
}

prop_compose! {
    fn container()(
        resources in proptest::option::of(resources()),
        security_context in proptest::option::of(security()),
        envs in vec((".*", vec(any::<u8>(), 0..9)), 0..4),
        paths in vec((".*", any::<bool>(), 0..3_i32, any::<[u32; 3]>()), 0..4),
        labels in btree_map(".*", ".*", 0..4),
        attempt in any::<u32>(),
    ) -> ContainerConfig {
        let mount = |(container_path, readonly, propagation, range): (String, bool, i32, [u32; 3])| Mount {
            container_path, readonly, propagation,
            uid_mappings: vec![IdMapping { host_id: range[0], container_id: range[1], length: range[2] }],
            ..Default::default()
        };
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: String::new(), attempt }),
            envs: envs.into_iter().map(|(key, value)| KeyValue { key, value }).collect(),
            mounts: paths.into_iter().map(mount).collect(),
            linux: Some(LinuxContainerConfig { resources, security_context }),
            labels,
            ..Default::default()
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(config in container()) {
        let request = CreateContainerRequest { config: Some(config), ..Default::default() };
        prop_assert_eq!(CreateContainerRequest::decode(&request.encode_to_vec()[..]).unwrap(), request);
    }

    #[test]
    fn no_bytes_of_a_runtime_make_the_reader_panic(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(read) = ContainerStatusResponse::decode(&bytes[..]) {
            let _ = read.status.unwrap_or_default().state();
        }
        let _ = StatusResponse::decode(&bytes[..]);
        let _ = ListPodSandboxStatsResponse::decode(&bytes[..]);
    }
}
