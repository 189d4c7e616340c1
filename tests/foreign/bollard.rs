//! bollard (crate), unmodified: Docker's API from Rust.
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::*;
use bollard::query_parameters::*;
use bollard::{body_full, Docker};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn same<T: PartialEq + std::fmt::Debug>(seen: T, wanted: T) -> Outcome {
    if seen == wanted {
        Ok(())
    } else {
        Err(format!("{seen:?} is not {wanted:?}").into())
    }
}

fn sure(fact: bool, what: &str) -> Outcome {
    if fact {
        Ok(())
    } else {
        Err(what.into())
    }
}

/// The status and the message of a refusal.
fn refusal<T>(result: Result<T, Error>) -> (u16, String) {
    match result {
        Err(Error::DockerResponseServerError { status_code, message }) => (status_code, message),
        Err(other) => (0, other.to_string()),
        Ok(_) => (0, "no refusal".into()),
    }
}

async fn make(docker: &Docker, name: &str, cmd: &[&str], change: impl FnOnce(&mut ContainerCreateBody)) -> Result<(), Error> {
    let mut body = ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: Some(cmd.iter().map(|word| word.to_string()).collect()),
        ..Default::default()
    };
    change(&mut body);
    docker
        .create_container(Some(CreateContainerOptionsBuilder::new().name(name).build()), body)
        .await?;
    docker.start_container(name, None::<StartContainerOptions>).await
}

async fn remove(docker: &Docker, name: &str) -> Result<(), Error> {
    docker
        .remove_container(name, Some(RemoveContainerOptionsBuilder::new().force(true).v(true).build()))
        .await
}

async fn code_of(docker: &Docker, name: &str) -> Result<i64, Error> {
    match docker.wait_container(name, None::<WaitContainerOptions>).next().await {
        Some(Ok(answer)) => Ok(answer.status_code),
        Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => Err(error),
        None => Ok(-1),
    }
}

async fn test_version_info_and_ping(docker: Docker) -> Outcome {
    same(docker.ping().await?.as_str(), "OK")?;
    sure(docker.version().await?.api_version.is_some(), "no API version")?;
    sure(docker.info().await?.containers.is_some(), "no count of containers")
}

async fn test_life_of_a_container(docker: Docker) -> Outcome {
    make(&docker, "r-life", &["sleep", "600"], |body| body.env = Some(vec!["A=1".into()])).await?;
    let state = docker
        .inspect_container("r-life", None::<InspectContainerOptions>)
        .await?
        .state
        .ok_or("no state")?;
    same(state.status, Some(ContainerStateStatusEnum::RUNNING))?;
    docker.pause_container("r-life").await?;
    docker.unpause_container("r-life").await?;
    docker
        .rename_container("r-life", RenameContainerOptionsBuilder::new().name("r-renamed").build())
        .await?;
    docker
        .update_container(
            "r-renamed",
            ContainerUpdateBody {
                memory: Some(64 << 20),
                memory_swap: Some(-1),
                ..Default::default()
            },
        )
        .await?;
    let host = docker
        .inspect_container("r-renamed", None::<InspectContainerOptions>)
        .await?
        .host_config
        .ok_or("no host")?;
    same(host.memory, Some(64 << 20))?;
    let top = docker.top_processes("r-renamed", None::<TopOptions>).await?;
    sure(
        top.processes
            .unwrap_or_default()
            .iter()
            .flatten()
            .any(|word| word.contains("sleep")),
        "no sleep in top",
    )?;
    docker.restart_container("r-renamed", None::<RestartContainerOptions>).await?;
    docker
        .kill_container("r-renamed", Some(KillContainerOptionsBuilder::new().signal("SIGKILL").build()))
        .await?;
    same(code_of(&docker, "r-renamed").await?, 137)?;
    remove(&docker, "r-renamed").await?;
    same(
        refusal(docker.inspect_container("r-renamed", None::<InspectContainerOptions>).await).0,
        404,
    )
}

async fn test_logs_of_both_streams(docker: Docker) -> Outcome {
    make(&docker, "r-logs", &["sh", "-c", "echo out; echo err >&2; exit 3"], |_| ()).await?;
    same(code_of(&docker, "r-logs").await?, 3)?;
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).follow(true).build();
    let lines: Vec<_> = docker
        .logs("r-logs", Some(options))
        .filter_map(|line| async { line.ok() })
        .collect()
        .await;
    let mut said: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
    said.sort();
    same(said, vec!["err\n".to_string(), "out\n".to_string()])?;
    Ok(remove(&docker, "r-logs").await?)
}

async fn test_attach_with_input(docker: Docker) -> Outcome {
    let body = ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: Some(vec!["cat".into()]),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        ..Default::default()
    };
    docker
        .create_container(Some(CreateContainerOptionsBuilder::new().name("r-attach").build()), body)
        .await?;
    let options = AttachContainerOptionsBuilder::new().stream(true).stdin(true).stdout(true).build();
    let mut joined = docker.attach_container("r-attach", Some(options)).await?;
    docker.start_container("r-attach", None::<StartContainerOptions>).await?;
    joined.input.write_all(b"there and back\n").await?;
    joined.input.shutdown().await?;
    let mut text = String::new();
    while let Some(Ok(piece)) = joined.output.next().await {
        text += &piece.to_string();
    }
    same(text.as_str(), "there and back\n")?;
    Ok(remove(&docker, "r-attach").await?)
}

async fn test_exec_and_its_code(docker: Docker) -> Outcome {
    make(&docker, "r-exec", &["sleep", "600"], |_| ()).await?;
    let config = ExecConfig {
        cmd: Some(vec!["sh".into(), "-c".into(), "echo in $A; exit 5".into()]),
        env: Some(vec!["A=here".into()]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let exec = docker.create_exec("r-exec", config).await?.id;
    let mut text = String::new();
    if let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec, None::<StartExecOptions>).await? {
        while let Some(Ok(piece)) = output.next().await {
            text += &piece.to_string();
        }
    }
    same(text.as_str(), "in here\n")?;
    same(docker.inspect_exec(&exec).await?.exit_code, Some(5))?;
    Ok(remove(&docker, "r-exec").await?)
}

async fn test_files_in_and_out(docker: Docker) -> Outcome {
    make(&docker, "r-files", &["sleep", "600"], |_| ()).await?;
    let from = DownloadFromContainerOptionsBuilder::new().path("/etc/passwd").build();
    let mut tar = Vec::new();
    let mut pieces = docker.download_from_container("r-files", Some(from));
    while let Some(piece) = pieces.next().await {
        tar.extend_from_slice(&piece?);
    }
    let to = UploadToContainerOptionsBuilder::new().path("/tmp").build();
    docker.upload_to_container("r-files", Some(to), body_full(tar.into())).await?;
    let changes = docker.container_changes("r-files").await?.unwrap_or_default();
    sure(changes.iter().any(|change| change.path == "/tmp/passwd"), "the file is not there")?;
    Ok(remove(&docker, "r-files").await?)
}

async fn test_statistics(docker: Docker) -> Outcome {
    make(&docker, "r-stats", &["sh", "-c", "while :; do :; done"], |_| ()).await?;
    let options = StatsOptionsBuilder::new().stream(false).build();
    let stats = docker.stats("r-stats", Some(options)).next().await.ok_or("no answer")??;
    let used = stats.cpu_stats.and_then(|cpu| cpu.cpu_usage).and_then(|usage| usage.total_usage);
    sure(used.unwrap_or(0) > 0, "no processor time")?;
    Ok(remove(&docker, "r-stats").await?)
}

async fn test_networks_and_volumes(docker: Docker) -> Outcome {
    docker
        .create_network(NetworkCreateRequest {
            name: "r-net".into(),
            ..Default::default()
        })
        .await?;
    docker
        .create_volume(VolumeCreateOptions {
            name: Some("r-vol".into()),
            ..Default::default()
        })
        .await?;
    make(
        &docker,
        "r-server",
        &["sh", "-c", "echo kept > /data/file; exec sleep 600"],
        |body| {
            body.host_config = Some(HostConfig {
                binds: Some(vec!["r-vol:/data".into()]),
                network_mode: Some("r-net".into()),
                ..Default::default()
            });
        },
    )
    .await?;
    make(&docker, "r-client", &["sh", "-c", "ping -c 1 r-server && cat /data/file"], |body| {
        body.host_config = Some(HostConfig {
            binds: Some(vec!["r-vol:/data:ro".into()]),
            ..Default::default()
        });
        body.networking_config = Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([("r-net".to_string(), EndpointSettings::default())])),
        });
    })
    .await?;
    same(code_of(&docker, "r-client").await?, 0)?;
    let joined = docker
        .inspect_network("r-net", None::<InspectNetworkOptions>)
        .await?
        .containers
        .unwrap_or_default();
    sure(
        joined.values().any(|one| one.name.as_deref() == Some("r-server")),
        "the network does not name the container",
    )?;
    same(refusal(docker.remove_volume("r-vol", None::<RemoveVolumeOptions>).await).0, 409)?;
    remove(&docker, "r-client").await?;
    remove(&docker, "r-server").await?;
    docker.remove_network("r-net").await?;
    Ok(docker.remove_volume("r-vol", None::<RemoveVolumeOptions>).await?)
}

async fn test_lists_and_events(docker: Docker) -> Outcome {
    make(&docker, "r-listed", &["true"], |body| {
        body.labels = Some(HashMap::from([("r".to_string(), "1".to_string())]))
    })
    .await?;
    same(code_of(&docker, "r-listed").await?, 0)?;
    let filters = HashMap::from([("label", vec!["r=1"])]);
    let found = docker
        .list_containers(Some(ListContainersOptionsBuilder::new().all(true).filters(&filters).build()))
        .await?;
    same(found.len(), 1)?;
    same(found[0].names.clone(), Some(vec!["/r-listed".to_string()]))?;
    let filters = HashMap::from([("container", vec!["r-listed"]), ("type", vec!["container"])]);
    let options = EventsOptionsBuilder::new().since("0").until("4102444800").filters(&filters).build();
    let mut events = docker.events(Some(options));
    let mut actions = Vec::new();
    while actions.last().map(String::as_str) != Some("die") {
        let event = tokio::time::timeout(Duration::from_secs(30), events.next())
            .await?
            .ok_or("the events ended")??;
        actions.push(event.action.unwrap_or_default());
    }
    same(actions, vec!["create".to_string(), "start".to_string(), "die".to_string()])?;
    Ok(remove(&docker, "r-listed").await?)
}

async fn test_images(docker: Docker) -> Outcome {
    make(&docker, "r-commit", &["true"], |_| ()).await?;
    same(code_of(&docker, "r-commit").await?, 0)?;
    let options = CommitContainerOptionsBuilder::new()
        .container("r-commit")
        .repo("r-made")
        .tag("1")
        .build();
    docker.commit_container(options, ContainerConfig::default()).await?;
    docker
        .tag_image("r-made:1", Some(TagImageOptionsBuilder::new().repo("r-made").tag("2").build()))
        .await?;
    let inspected = docker.inspect_image("r-made:2").await?;
    sure(
        inspected.repo_tags.unwrap_or_default().contains(&"r-made:1".to_string()),
        "the tags are not both there",
    )?;
    sure(docker.image_history("r-made:1").await?.len() > 1, "no history")?;
    for tag in ["r-made:1", "r-made:2"] {
        docker.remove_image(tag, None::<RemoveImageOptions>, None).await?;
    }
    same(refusal(docker.inspect_image("r-made:1").await).0, 404)?;
    Ok(remove(&docker, "r-commit").await?)
}

async fn test_refusals(docker: Docker) -> Outcome {
    same(
        refusal(make(&docker, "r-none", &["true"], |body| body.image = Some("r-no-such-image".into())).await),
        (404, "No such image: r-no-such-image:latest".to_string()),
    )?;
    let (status, message) = refusal(make(&docker, "r-bad", &["nothing-here"], |_| ()).await);
    sure(
        status == 400 && message.contains("executable file not found"),
        &format!("{status}: {message}"),
    )?;
    remove(&docker, "r-bad").await?;
    same(refusal(make(&docker, "r bad", &["true"], |_| ()).await).0, 400)
}

/// Runs one test and says how it went.
async fn tell(name: &str, test: impl Future<Output = Outcome>) -> bool {
    let outcome = match tokio::time::timeout(Duration::from_secs(60), test).await {
        Ok(outcome) => outcome,
        Err(_) => Err("it takes too long".into()),
    };
    match &outcome {
        Ok(()) => println!("ok {name}"),
        Err(error) => println!("not ok {name}: {}", error.to_string().replace('\n', "\\n")),
    }
    outcome.is_ok()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
    macro_rules! all {
        ($($test:ident),* $(,)?) => {{
            let mut well = true;
            $(well &= tell(stringify!($test).trim_start_matches("test_"), $test(docker.clone())).await;)*
            well
        }};
    }
    let well = all!(
        test_version_info_and_ping,
        test_life_of_a_container,
        test_logs_of_both_streams,
        test_attach_with_input,
        test_exec_and_its_code,
        test_files_in_and_out,
        test_statistics,
        test_networks_and_volumes,
        test_lists_and_events,
        test_images,
        test_refusals,
    );
    std::process::exit(if well { 0 } else { 1 });
}
