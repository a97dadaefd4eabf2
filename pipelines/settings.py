"""Where GuardUI keeps its state and how it behaves, read from `GUARDUI_*` variables."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting is an environment variable with the prefix `GUARDUI_`."""

    model_config = SettingsConfigDict(env_prefix="GUARDUI_", extra="ignore")

    home: Path = Field(Path("~/.guardui"), description="Folder that holds all state.")
    database_url: str = Field("", description="SQLAlchemy URL; empty means SQLite in the home.")
    host: str = Field("127.0.0.1", description="Address that the page listens on.")
    port: int = Field(7860, ge=1, le=65535, description="Port that the page listens on.")
    demo: bool = Field(False, description="Offer Classify and Rate only, as a Space does.")
    users: Path | None = Field(
        None, description="File of people who may log in; unset means users.json in the home."
    )
    public: Literal["none", "rate", "classify"] = Field(
        "rate", description="What people may use without a login; a demo offers classify."
    )
    researchers: str = Field(
        "", description="Hub names and organisations who are researchers on a Space, with commas."
    )
    proxy: int = Field(
        0, ge=0, le=5, description="Reverse proxies in front, whose X-Forwarded-* are believed."
    )
    rate_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Address at which annotators reach Rate; personal links begin with it.",
    )
    classify_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where the live moderator runs; auto leaves a busy GPU to its job."
    )
    max_input_chars: int = Field(20_000, ge=100, description="Longest text a visitor may send.")
    max_waiting: int = Field(
        64, ge=1, description="Most moderations that wait for a turn; more are told to come later."
    )
    adapters: str = Field(
        "", description="Hub ids of adapters that Classify offers, separated by commas."
    )
    backup_repo: str = Field(
        "", description="Private dataset repository on the Hub that the home is backed up to."
    )
    backup: Literal["each", "soon"] = Field(
        "each", description="Whether a rating is confirmed once it is in the backup, or before."
    )
    backup_seconds: float = Field(
        60.0, ge=1, description="Longest wait until a change goes to the backup."
    )
    identity_key: SecretStr | None = Field(
        None, description="Key of the annotators' links as 64 hexadecimal digits; else a file."
    )
    heartbeat_seconds: float = Field(2.0, gt=0, description="Seconds between two heartbeats.")
    stop_ask_seconds: float = Field(120.0, gt=0, description="Wait after asking, then SIGTERM.")
    stop_term_seconds: float = Field(20.0, gt=0, description="Wait after SIGTERM, then SIGKILL.")

    def model_post_init(self, _context: object) -> None:
        self.home = self.home.expanduser().resolve()
        if not self.database_url:
            self.database_url = f"sqlite:///{self.home / 'guardui.db'}"

    @property
    def users_file(self) -> Path:
        """Who may log in, with the hashes of their passwords."""
        return self.users.expanduser() if self.users else self.home / "users.json"

    @property
    def models_dir(self) -> Path:
        """Base models fetched or converted once."""
        return self.home / "models"

    @property
    def jobs_dir(self) -> Path:
        """One folder a job: log, checkpoints, outcome, artifacts."""
        return self.home / "jobs"

    @property
    def uploads_dir(self) -> Path:
        """Datasets that came in through the page."""
        return self.home / "uploads"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, with the home folder made."""
    settings = Settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    return settings
