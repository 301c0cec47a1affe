//! A client of a NATS server: how it is let in, and what is told of its ups and downs.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event, jetstream};
use tokio::sync::Notify;

use super::arguments;

/// How long an answer of the server may take. A cluster that elects a leader needs some seconds; whoever asks tries again.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a server may take to greet. One that is not there is known at once.
const GREETING: Duration = Duration::from_secs(20);
/// Longest wait between two attempts to connect.
const MAX_RECONNECT: Duration = Duration::from_secs(2);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("cannot connect to {servers}: {source}")]
    Connect { servers: String, source: async_nats::ConnectError },
    #[error("{url:?} is no URL of a NATS server: {source}")]
    Url { url: String, source: std::io::Error },
    #[cfg(feature = "nats-creds")]
    #[error("cannot read credentials from {path:?}: {source}")]
    Credentials { path: std::path::PathBuf, source: std::io::Error },
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) context: jetstream::Context,
    /// Told when the client has lost the server and found one again.
    pub(crate) found: Arc<Notify>,
}

impl Connection {
    /// Connects. Once that has gone well, the client itself connects again for as long as it is there.
    pub(crate) async fn open(arguments: &arguments::Connection, name: &str) -> Result<Self, ConnectionError> {
        let mut servers = Vec::new();
        for url in &arguments.urls {
            let server = url.parse::<async_nats::ServerAddr>();
            servers.push(server.map_err(|source| ConnectionError::Url { url: without_password(url), source })?);
        }
        let found = Arc::new(Notify::new());
        let tell = Arc::clone(&found);
        let options = ConnectOptions::new()
            .name(name)
            .connection_timeout(GREETING)
            .request_timeout(Some(ANSWER))
            .reconnect_delay_callback(|attempts| {
                let exponent = u32::try_from(attempts).unwrap_or(u32::MAX).min(8);
                (Duration::from_millis(10) * 2u32.pow(exponent)).min(MAX_RECONNECT)
            })
            .event_callback(move |event| {
                let tell = Arc::clone(&tell);
                async move {
                    match event {
                        Event::Connected => {
                            tracing::info!("connected to a NATS server");
                            tell.notify_one();
                        }
                        event => tracing::warn!(%event, "the NATS client"),
                    }
                }
            });
        let options = with_credentials(arguments, options).await?;
        let context = |client: Client| ContextBuilder::new().timeout(ANSWER).ack_timeout(ANSWER).build(client);
        match options.connect(servers).await {
            Ok(client) => Ok(Self { context: context(client.clone()), client, found }),
            Err(source) => {
                let servers = arguments.urls.iter().map(|url| without_password(url)).collect::<Vec<_>>().join(", ");
                Err(ConnectionError::Connect { servers, source })
            }
        }
    }
}

async fn with_credentials(
    arguments: &arguments::Connection,
    mut options: ConnectOptions,
) -> Result<ConnectOptions, ConnectionError> {
    if let Some(path) = &arguments.tls_ca {
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    if let (Some(cert), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        options = options.add_client_certificate(cert.clone(), key.clone()).require_tls(true);
    }
    #[cfg(feature = "nats-creds")]
    if let Some(path) = &arguments.creds {
        let refused = |source| ConnectionError::Credentials { path: path.clone(), source };
        options = options.credentials_file(path).await.map_err(refused)?;
    }
    Ok(options)
}

/// A URL as it may be told.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_message() {
        assert_eq!(without_password("nats://me:secret@host:4222"), "nats://host:4222");
        assert_eq!(without_password("me:sec@ret@host"), "nats://host");
        assert_eq!(without_password("tls://host"), "tls://host");
    }
}
