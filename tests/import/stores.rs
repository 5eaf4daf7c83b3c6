//! Redis and PostgreSQL of a test's own: in a temporary folder, on a socket that lies in it.

use super::common::eventually;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A program that ends with the test, and the signal that ends it at once.
struct Daemon(Child, &'static str);

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").args([self.1, &pid]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.0.kill();
        }
        let _ = self.0.wait();
    }
}

fn spawn(command: &mut Command, log: &Path, end: &'static str) -> Daemon {
    let log = std::fs::File::create(log).unwrap();
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (tests/run installs it)"));
    Daemon(child, end)
}

/// A Redis server.
pub struct Redis {
    _daemon: Daemon,
    folder: tempfile::TempDir,
}

impl Redis {
    pub async fn start() -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
        command.arg(&socket).args(["--enable-debug-command", "yes", "--dir"]).arg(folder.path());
        // Not SIGQUIT: Redis ignores it where whoever started the tests does.
        let daemon = spawn(&mut command, &folder.path().join("log"), "-KILL");
        let redis = Redis { _daemon: daemon, folder };
        eventually("Redis answers", async || redis.try_connect()).await;
        redis
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    fn try_connect(&self) -> Option<redis::Connection> {
        redis::Client::open(self.url()).ok()?.get_connection().ok()
    }

    pub fn connect(&self) -> redis::Connection {
        self.try_connect().unwrap()
    }

    /// Says something about all data.
    pub fn digest(&self) -> String {
        redis::cmd("DEBUG").arg("DIGEST").query(&mut self.connect()).unwrap()
    }

    /// The commands that were sent since the counts were reset.
    pub fn commands(&self) -> Vec<String> {
        let info: String =
            redis::cmd("INFO").arg("commandstats").query(&mut self.connect()).unwrap();
        let names =
            info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    }

    pub fn forget_commands(&self) {
        let () = redis::cmd("CONFIG").arg("RESETSTAT").query(&mut self.connect()).unwrap();
    }
}

/// A PostgreSQL server with a user `writer` who may do everything and a user `reader` who may only
/// read.
pub struct Postgres {
    _daemon: Daemon,
    folder: tempfile::TempDir,
}

/// The newest PostgreSQL of this machine: on the path, or where Debian puts it.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<PathBuf> =
            versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
        versions.sort();
        places.extend(versions.into_iter().rev());
    }
    let found = places.into_iter().map(|place| place.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: apt-get install postgresql"))
}

impl Postgres {
    pub async fn start() -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL refuses to run as root.
        let uid = Command::new("id").arg("-u").output().unwrap().stdout;
        let as_root = uid == b"0\n";
        if as_root {
            let chown = Command::new("chown").arg("nobody").arg(folder.path()).status().unwrap();
            assert!(chown.success());
        }
        let command = |name: &str| {
            let mut command = match as_root {
                true => {
                    let mut command = Command::new("setpriv");
                    command.args(["--reuid=nobody", "--clear-groups", "--"]).arg(program(name));
                    command
                }
                false => Command::new(program(name)),
            };
            command.current_dir(folder.path());
            command
        };
        let data = folder.path().join("data");
        let made = command("initdb")
            .args(["--no-sync", "--auth=trust", "--username=writer", "--encoding=UTF8", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = command("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=Asia/Jakarta"]);
        // With SIGQUIT PostgreSQL takes its own children along.
        let daemon = spawn(&mut server, &folder.path().join("log"), "-QUIT");
        let postgres = Postgres { _daemon: daemon, folder };
        eventually("PostgreSQL answers", async || {
            postgres.try_run("writer", "CREATE ROLE reader LOGIN").await.ok()
        })
        .await;
        postgres.run("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader").await;
        postgres
    }

    fn address(&self, user: &str) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("://{user}@{folder}/postgres")
    }

    /// For the import: of a user who cannot write, in the words of SQLAlchemy.
    pub fn url(&self) -> String {
        format!("postgresql+psycopg2{}", self.address("reader"))
    }

    async fn try_run(&self, user: &str, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let url = format!("postgresql{}", self.address(user));
        let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.map_err(|error| error.to_string())?;
        actix::spawn(connection);
        let messages = client.simple_query(sql).await.map_err(|error| format!("{error:?}"))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL").to_owned()).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    pub async fn run(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_run("writer", sql).await.unwrap()
    }

    /// All rows of tables, as one text.
    pub async fn contents(&self, tables: &[&str]) -> String {
        let mut all = String::new();
        for table in tables {
            let rows = self.run(&format!("SELECT t::text FROM {table} t ORDER BY 1")).await;
            all.push_str(&format!("{table}: {rows:?}\n"));
        }
        all
    }
}
