"""What Android projects get, as far as it can be checked without Android's own kit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgec.backends.android import ABI, library_in_package
from edgec.backends.executor import execute
from edgec.backends.gpu.backend import plan_of_kernels
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.measure.running import can_run
from tests.gpu import hand_made

IN_BIONIC = {
    "calloc", "dlopen", "dlsym", "fclose", "fopen", "fread", "free", "fseek", "ftell", "fwrite", "getenv",
    "getpid", "malloc", "memcmp", "memcpy", "memmove", "memset", "mkdir", "pthread_mutex_lock",
    "pthread_mutex_unlock", "remove", "rename", "snprintf", "strcmp", "strlen", "strtol", "vsnprintf"
}  # fmt: skip


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("android")
    plan = plan_of_kernels(hand_made.hand_made("opencl"), load_target("android-mali"), Silent())
    execute(plan, folder, Silent())
    assert plan.library == "lib/libhand_made.a"
    assert "no executable" in str(can_run(plan.interface))
    return folder


def test_the_library_asks_for_nothing_that_android_lacks(artifact: Path) -> None:
    nm = shutil.which("nm") or shutil.which("llvm-nm")
    if nm is None:
        pytest.skip("nm is not installed")
    listed = subprocess.run([nm, str(artifact / "lib/libhand_made.a")], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines() if len(line.split()) >= 2]
    wanted = {row[1] for row in rows if row[0] == "U"}
    defined = {row[2] for row in rows if len(row) == 3}
    assert wanted - defined <= IN_BIONIC
    assert wanted - defined >= {"dlopen", "dlsym"}


def test_the_folder_is_laid_out_as_a_prefab_package(artifact: Path) -> None:
    package = artifact / "android" / "aar"
    module = package / "prefab" / "modules" / "hand_made"
    assert json.loads((package / "prefab" / "prefab.json").read_text())["name"] == "hand_made"
    assert json.loads((module / "module.json").read_text())["export_libraries"] == ["-ldl", "-lm"]
    assert json.loads((module / "libs" / f"android.{ABI}" / "abi.json").read_text())["abi"] == ABI
    assert {path.name for path in (module / "include").iterdir()} == {"edgec.h", "edgec_gpu.h", "hand_made.h"}
    packed = (artifact / library_in_package("hand_made")).read_bytes()
    assert packed == (artifact / "lib/libhand_made.a").read_bytes()
    manifest = ElementTree.parse(package / "AndroidManifest.xml")  # noqa: S314
    assert manifest.find("application/uses-native-library") is not None


def test_the_jni_code_compiles_against_the_interface_of_java(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "jni.h").write_text(_JNI, encoding="ascii")
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-musl", "-std=c11", "-Wall", "-Werror"]
    command = [
        *compiler,
        f"-I{tmp_path}",
        f"-I{artifact / 'include'}",
        "-c",
        "hand_made_jni.c",
        "-o",
        str(tmp_path / "o"),
    ]
    subprocess.run(command, cwd=artifact / "android", check=True)


@pytest.mark.parametrize("script", ["make_aar.sh", "run_with_adb.sh"])
def test_the_scripts_are_whole(artifact: Path, script: str) -> None:
    subprocess.run(["sh", "-n", script], cwd=artifact / "android", check=True)


# The part of the interface that the generated code uses, with the signatures of the Java Native Interface
# Specification, chapter 4.
_JNI = """
#include <stdint.h>
#define JNIEXPORT
#define JNICALL
typedef int32_t jint;
typedef int64_t jlong;
typedef jint jsize;
typedef void *jobject;
typedef jobject jclass, jstring, jobjectArray;
struct functions;
typedef const struct functions *JNIEnv;
struct functions {
    jsize (*GetArrayLength)(JNIEnv *, jobject);
    jobject (*GetObjectArrayElement)(JNIEnv *, jobjectArray, jsize);
    void *(*GetDirectBufferAddress)(JNIEnv *, jobject);
    jlong (*GetDirectBufferCapacity)(JNIEnv *, jobject);
    void (*DeleteLocalRef)(JNIEnv *, jobject);
    jstring (*NewStringUTF)(JNIEnv *, const char *);
};
"""
