//! The node's side of the network.

use std::fs;

use super::InsideError;
use crate::lan::ip;
use crate::setup::NodeSetup;

/// Gives the node its address and the way to the others, and says by which names things are known.
pub fn set_up(setup: &NodeSetup) -> Result<(), InsideError> {
    let NodeSetup { name, address, prefix_bits, gateway, api, .. } = setup;
    ip(&format!(
        "link set lo up\naddr add {address}/{prefix_bits} dev eth0\nlink set eth0 up\n\
         route add default via {gateway}\n"
    ))
    .map_err(InsideError::Network)?;
    // Runtimes copy the node's hosts to pods, so this is how pods know the API by its name.
    let hosts = format!(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {name}\n\
         {api} kubernetes.default.svc.cluster.local kubernetes.default.svc kubernetes.default kubernetes\n"
    );
    for (file, content) in [("/etc/hosts", hosts), ("/etc/hostname", format!("{name}\n"))] {
        fs::write(file, content).map_err(InsideError::system(format!("write {file}")))?;
    }
    Ok(())
}
