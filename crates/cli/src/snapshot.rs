//! `everynode snapshot`: a cluster in a file.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use everynode_apiserver::private;
use everynode_client::Client;
use everynode_plan::file::{FileError, Header, VERSION, Writer};
use everynode_plan::record::{Record, Unseen};
use everynode_plan::{Mask, PodUsage, collect};

use crate::failure::Failure;
use crate::outliers::sampled;
use crate::plain;
use crate::shared::{ClusterArgs, duration};

/// Arguments of `snapshot`.
#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    /// The file to write; `-` is standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The cluster to read.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Read this namespace where the whole cluster must not be listed [default: the context's]
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Also sample for so long what pods use, up to an hour; `everynode outliers` reads it
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub samples: Option<Duration>,
}

/// Reads the cluster into the file.
#[expect(clippy::print_stderr, reason = "this is where the command speaks to its user")]
pub async fn run(args: SnapshotArgs) -> Result<ExitCode, Failure> {
    let client = args.cluster.connect().await?;
    let client = client.with_user_agent("everynode-snapshot");
    let namespace = args.namespace.as_deref().unwrap_or_else(|| client.default_namespace()).to_owned();
    let is_stdout = args.file.as_os_str() == "-";
    if is_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::with_hint(
            "a snapshot is compressed and does not go to a terminal",
            "name a file, or send standard output to one",
        ));
    }
    let usage = match args.samples {
        Some(samples) => sampled(&client, args.namespace.as_deref(), samples).await?,
        None => Vec::new(),
    };
    let (records, unseen) = match is_stdout {
        true => write(&client, &namespace, usage, std::io::stdout()).await?,
        false => write_file(&client, &namespace, usage, &args.file).await?,
    };
    let place = if is_stdout { "standard output".into() } else { args.file.to_string_lossy() };
    eprintln!("{records} records of {} written to {place}", client.server_url());
    for unseen in unseen {
        eprintln!("not seen: {}: {}", plain::line(&unseen.what()), plain::line(&unseen.why));
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes beside the file first, so that no half of a snapshot stands under its name.
async fn write_file(
    client: &Client,
    namespace: &str,
    usage: Vec<PodUsage>,
    path: &Path,
) -> Result<(u64, Vec<Unseen>), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::with_hint(format!("cannot write {}: {error}", path.display()), "name another file")
    };
    let (file, partial) = private::create_beside(path).map_err(cannot)?;
    let written = write(client, namespace, usage, file).await;
    let written =
        written.and_then(|written| std::fs::rename(&partial, path).map_err(cannot).map(|()| written));
    if written.is_err() {
        // It is of no use; what matters has failed already.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

async fn write(
    client: &Client,
    namespace: &str,
    usage: Vec<PodUsage>,
    out: impl Write + Send,
) -> Result<(u64, Vec<Unseen>), Failure> {
    let mask = Mask::new(format!("{:032x}", fastrand::u128(..)));
    let header = Header {
        format: VERSION,
        taken_at: client.clock().unix_millis().div_euclid(1000),
        salt: mask.salt().to_owned(),
        writer: concat!("everynode ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let mut writer = Writer::new(out, header)?;
    let mut sink = |record| -> Result<(), FileError> { writer.write(&record) };
    let unseen = collect(client, &mask, Some(namespace), &mut sink).await?;
    for usage in usage {
        writer.write(&Record::Usage(usage))?;
    }
    let (mut out, records) = writer.finish(unseen.clone())?;
    out.flush()?;
    Ok((records, unseen))
}
