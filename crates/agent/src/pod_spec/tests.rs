use super::*;

fn pod(spec: &str) -> Pod {
    serde_json::from_str(&format!(r#"{{"metadata":{{"name":"a"}},"spec":{spec}}}"#)).unwrap()
}

fn check_refused(spec: &str, expected: Option<&str>) {
    assert_eq!(pod(spec).refused().map(|refused| refused.to_string()).as_deref(), expected, "{spec}");
}

#[test]
fn what_an_agent_cannot_do_is_refused_by_its_name() {
    check_refused(r#"{"containers":[{"name":"c","image":"i"}]}"#, None);
    check_refused(r#"{"hostUsers":true,"volumes":[{"name":"v"}]}"#, None);
    check_refused(r#"{"hostUsers":false}"#, Some("this node's agent does not support spec.hostUsers: false"));
    check_refused(r#"{"os":{"name":"windows"}}"#, Some("the pod is for windows, this node runs linux"));
    check_refused(
        r#"{"volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"x"}}]}"#,
        Some("volume \"data\": this node's agent does not support volumes of the type persistentVolumeClaim"),
    );
    check_refused(
        r#"{"volumes":[{"name":"v","projected":{"sources":[{"clusterTrustBundle":{"path":"x"}}]}}]}"#,
        Some("volume \"v\": this node's agent does not support volumes of the type clusterTrustBundle"),
    );
    check_refused(
        r#"{"initContainers":[{"name":"c","volumeDevices":[{"name":"d"}]}]}"#,
        Some("container \"c\": this node's agent does not support volumeDevices"),
    );
}

#[test]
fn volumes_are_read_with_their_numbers() {
    let pod = pod(
        r#"{"volumes":[{"name":"s","secret":{"secretName":"x","defaultMode":256,"items":[{"key":"k","path":"p","mode":384}]}}]}"#,
    );
    let VolumeSource::Secret(secret) = &pod.spec.volumes[0].source else { panic!("{pod:?}") };
    assert_eq!((secret.secret(), secret.default_mode, secret.items[0].mode), ("x", Some(256), Some(384)));
}

#[test]
fn a_port_is_found_by_number_or_name() {
    let ports: Vec<ContainerPort> =
        serde_json::from_str(r#"[{"name":"metrics","containerPort":9100}]"#).unwrap();
    for (port, expected) in
        [("9", Some(9)), ("\"metrics\"", Some(9100)), ("\"12\"", Some(12)), ("\"other\"", None), ("0", None)]
    {
        let port: PortName = serde_json::from_str(port).unwrap();
        assert_eq!(port.resolve(&ports), expected, "{port:?}");
    }
}
