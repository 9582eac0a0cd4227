import pytest
import yaml


@pytest.fixture
def write(tmp_path):
    def write(text, name="extauthz.yaml"):
        file = tmp_path / name
        file.write_text(text if isinstance(text, str) else yaml.safe_dump(text), encoding="utf-8")
        return file

    return write
