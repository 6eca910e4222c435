//! With real servers: whatever this machine has on its PATH.

use super::*;

#[expect(clippy::disallowed_methods, reason = "a test stands for the binary that reads PATH")]
fn options(data_dir: &Path) -> Options {
    Options::new(data_dir, std::env::var("PATH").ok().map(Into::into))
}

async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn set(url: &str, value: &str) {
    let mut connection = connect(url).await;
    let _: () = redis::cmd("SET").arg("key").arg(value).query_async(&mut connection).await.unwrap();
    // `everysec` may lose the last second of a killed *machine*, not of a killed server: the bytes are written.
}

async fn get(url: &str) -> Option<String> {
    redis::cmd("GET").arg("key").query_async(&mut connect(url).await).await.unwrap()
}

#[tokio::test]
async fn what_was_written_survives_a_kill_and_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = RedisServer::start(&options(folder.path())).await.unwrap();
    let url = server.url().to_owned();
    set(&url, "one").await;
    server.kill().await.unwrap();
    assert_eq!(server.pid(), None);
    assert!(redis::Client::open(url.as_str()).unwrap().get_multiplexed_async_connection().await.is_err());
    server.restart().await.unwrap();
    assert_eq!(get(&url).await.as_deref(), Some("one"));
    set(&url, "two").await;
    server.restart().await.unwrap();
    assert_eq!(get(&url).await.as_deref(), Some("two"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn it_listens_on_loopback_when_asked_and_has_the_durable_settings() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { port: Port::Loopback, ..options(folder.path()) };
    let server = RedisServer::start(&options).await.unwrap();
    let mut connection = connect(&server.tcp_url().unwrap()).await;
    for (name, wanted) in
        [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction"), ("save", "")]
    {
        let (_, value): (String, String) =
            redis::cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await.unwrap();
        assert_eq!(value, wanted, "{name}");
    }
}

#[tokio::test]
async fn a_server_left_behind_is_shut_down_first() {
    let folder = tempfile::tempdir().unwrap();
    let left_behind = RedisServer::start(&options(folder.path())).await.unwrap();
    set(left_behind.url(), "kept").await;
    let server = RedisServer::start(&options(folder.path())).await.unwrap();
    assert_ne!(server.pid(), left_behind.pid());
    assert_eq!(get(server.url()).await.as_deref(), Some("kept"));
}

#[tokio::test]
async fn a_long_data_path_gets_a_short_socket() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("a folder with spaces").join("x".repeat(120));
    let options = Options { short_dir: folder.path().to_owned(), ..options(&long) };
    let server = RedisServer::start(&options).await.unwrap();
    set(server.url(), "here").await;
    assert!(long.join("redis.log").is_file());
}

#[tokio::test]
async fn a_server_that_can_not_start_shows_its_log() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("appendonlydir")).unwrap();
    std::fs::write(folder.path().join("appendonlydir/appendonly.aof.manifest"), "nonsense\n").unwrap();
    let error = RedisServer::start(&options(folder.path())).await.unwrap_err();
    let RedisServerError::Exited { tail, .. } = &error else { panic!("{error}") };
    assert!(!tail.is_empty());
    assert!(error.to_string().contains("redis.log"), "{error}");
}

#[tokio::test]
async fn a_frozen_server_answers_again_after_a_thaw() {
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(&options(folder.path())).await.unwrap();
    server.freeze().unwrap();
    assert_eq!(socket::answers(&server.socket).await, socket::Answer::Busy);
    server.thaw().unwrap();
    assert_eq!(socket::answers(&server.socket).await, socket::Answer::Pong);
}
