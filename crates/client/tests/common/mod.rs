//! Clients of servers that tests play.

use std::net::SocketAddr;

use everynode_client::Client;

/// A client of the server at this address, without TLS.
pub async fn client(address: SocketAddr) -> Client {
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    Client::from_kubeconfig_text(&kubeconfig).await.unwrap()
}
