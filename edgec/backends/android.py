"""What an Android project needs beside the library: a folder that becomes an `.aar`, JNI, CMake and a script for adb.

Nothing of Android's own kit is needed to build the artefact; it is needed to build the app.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

ABI = "arm64-v8a"
COMPILE_FLAGS = ("-ffixed-x18", "-fno-builtin-bcmp")
"""Android keeps a register for itself that other systems do not, and its C library has no bcmp."""
_OLDEST_API = 24
_FOLDER = "android"


def library_in_package(symbol: str) -> str:
    """Path of the static library where `.aar` files keep it (Android's "Prefab" layout)."""
    return f"{_FOLDER}/aar/prefab/modules/{symbol}/libs/android.{ABI}/lib{symbol}.a"


def android_files(symbol: str, headers: Sequence[tuple[str, bytes]], *, graphics: bool) -> dict[str, bytes]:
    """The files below `android/`, except the library.

    Args:
        symbol: the network's C name.
        headers: names and contents of the public headers.
        graphics: whether a graphics processor computes, whose launcher finds the driver by itself.
    """
    module = f"{_FOLDER}/aar/prefab/modules/{symbol}"
    abi = {"abi": ABI, "api": _OLDEST_API, "ndk": 21, "stl": "none", "static": True}
    libraries = ["-ldl", "-lm"] if graphics else ["-lm"]
    package = {"schema_version": 2, "name": symbol, "version": "1.0.0", "dependencies": []}
    names = {
        "symbol": symbol,
        "upper": symbol.upper(),
        "java": symbol.replace("_", "_1"),
        "abi": ABI,
        "api": _OLDEST_API,
        "libraries": "dl;m" if graphics else "m",
        "message": "edgec_gpu_message()" if graphics else '""',
        "include": '#include "edgec_gpu.h"\n' if graphics else "",
        "uses": _USES_OPENCL if graphics else "",
    }
    texts = {
        "aar/AndroidManifest.xml": _MANIFEST,
        f"java/edgec/{symbol}.java": _JAVA,
        f"{symbol}_jni.h": _JNI_HEADER,
        f"{symbol}_jni.c": _JNI,
        "CMakeLists.txt": _CMAKE,
        "make_aar.sh": _MAKE_AAR,
        "run_with_adb.sh": _ADB_BUILDS if graphics else _ADB,
    }
    files = {f"{_FOLDER}/{path}": text.format(**names).encode() for path, text in texts.items()}
    files[f"{_FOLDER}/aar/prefab/prefab.json"] = _json(package)
    files[f"{module}/module.json"] = _json({"export_libraries": libraries})
    files[f"{module}/libs/android.{ABI}/abi.json"] = _json(abi)
    return files | {f"{module}/include/{name}": content for name, content in headers}


def _json(content: dict[str, object]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


_USES_OPENCL = """
    <application>
        <!-- since Android 12 an app sees the vendor's OpenCL only if it names it -->
        <uses-native-library android:name="libOpenCL.so" android:required="false" />
    </application>"""

_MANIFEST = """\
<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="edgec.network.{symbol}">
    <uses-sdk android:minSdkVersion="{api}" />{uses}
</manifest>
"""

_JAVA = """\
package edgec;

import java.nio.ByteBuffer;

/** The network {symbol}. Buffers are direct, in native byte order, one a tensor in the order of {symbol}.h. */
public final class {symbol} {{
    static {{
        System.loadLibrary("{symbol}_jni");
    }}

    private {symbol}() {{}}

    /** Runs the network once; returns 0, or a status that {{@link #statusText}} explains. */
    public static native int run(ByteBuffer[] inputs, ByteBuffer[] outputs);

    /** A sentence in English for a status. */
    public static native String statusText(int status);
}}
"""

_JNI_HEADER = """\
/* The functions that the Java class edgec.{symbol} calls. */
#ifndef {upper}_JNI_H
#define {upper}_JNI_H

#include <jni.h>

JNIEXPORT jint JNICALL Java_edgec_{java}_run(JNIEnv *env, jclass type, jobjectArray inputs, jobjectArray outputs);
JNIEXPORT jstring JNICALL Java_edgec_{java}_statusText(JNIEnv *env, jclass type, jint status);

#endif
"""

_JNI = """\
/* Calls the network {symbol} from Java. Calls are made one after the other. */
#include "{symbol}_jni.h"

#include "{symbol}.h"
{include}
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_mutex_t in_use = PTHREAD_MUTEX_INITIALIZER;
static void *workspace;

static int addresses(JNIEnv *env, jobjectArray buffers, const edgec_tensor_info *tensors, int count, void **found)
{{
    if (buffers == NULL || (*env)->GetArrayLength(env, buffers) != count) {{
        return EDGEC_NULL_POINTER;
    }}
    for (int i = 0; i < count; ++i) {{
        jobject buffer = (*env)->GetObjectArrayElement(env, buffers, i);
        found[i] = buffer == NULL ? NULL : (*env)->GetDirectBufferAddress(env, buffer);
        if (found[i] == NULL || (size_t)(*env)->GetDirectBufferCapacity(env, buffer) < tensors[i].bytes) {{
            return EDGEC_NULL_POINTER;
        }}
        (*env)->DeleteLocalRef(env, buffer);
    }}
    return EDGEC_OK;
}}

JNIEXPORT jint JNICALL Java_edgec_{java}_run(JNIEnv *env, jclass type, jobjectArray inputs, jobjectArray outputs)
{{
    void *given[{upper}_INPUT_COUNT + 1] = {{NULL}};
    void *made[{upper}_OUTPUT_COUNT + 1] = {{NULL}};
    (void)type;
    int status = addresses(env, inputs, {symbol}_inputs, {upper}_INPUT_COUNT, given);
    status = status == EDGEC_OK ? addresses(env, outputs, {symbol}_outputs, {upper}_OUTPUT_COUNT, made) : status;
    if (status != EDGEC_OK) {{
        return status;
    }}
    pthread_mutex_lock(&in_use);
    if (workspace == NULL) {{
        workspace = malloc({symbol}_workspace_bytes() + 1);
    }}
    status = {symbol}_run(workspace, (const void *const *)given, made);
    pthread_mutex_unlock(&in_use);
    return status;
}}

JNIEXPORT jstring JNICALL Java_edgec_{java}_statusText(JNIEnv *env, jclass type, jint status)
{{
    char text[1024];
    (void)type;
    snprintf(text, sizeof text, "%s %s", edgec_status_text(status), {message});
    return (*env)->NewStringUTF(env, text);
}}
"""

_CMAKE = """\
# Builds the JNI library of the network, and its runner for a shell on the telephone:
#
#   cmake -B build -DCMAKE_TOOLCHAIN_FILE=$ANDROID_NDK/build/cmake/android.toolchain.cmake \\
#         -DANDROID_ABI={abi} -DANDROID_PLATFORM=android-{api}
#   cmake --build build
cmake_minimum_required(VERSION 3.18)
project({symbol} C)
set(module ${{CMAKE_CURRENT_SOURCE_DIR}}/aar/prefab/modules/{symbol})

add_library({symbol} STATIC IMPORTED)
set_target_properties({symbol} PROPERTIES
    IMPORTED_LOCATION ${{module}}/libs/android.${{ANDROID_ABI}}/lib{symbol}.a
    INTERFACE_INCLUDE_DIRECTORIES ${{module}}/include
    INTERFACE_LINK_LIBRARIES "{libraries}")

add_library({symbol}_jni SHARED {symbol}_jni.c)
target_link_libraries({symbol}_jni {symbol})

add_executable({symbol}-run ../src/main.c)
target_compile_definitions({symbol}-run PRIVATE EDGEC_MODEL={symbol}_model)
target_link_libraries({symbol}-run {symbol})
"""

_MAKE_AAR = """\
#!/bin/sh
# Packs {symbol}.aar: the static library and its headers, as Android's build system takes them.
set -eu
cd "$(dirname "$0")/aar"
rm -f ../{symbol}.aar
zip -q -r ../{symbol}.aar AndroidManifest.xml prefab
"""

_ADB = """\
#!/bin/sh
# Runs the network on the telephone that adb is connected to: run_with_adb.sh INPUTS.bin OUTPUTS.bin [OPTIONS...]
set -eu
folder=/data/local/tmp/edgec-{symbol}
inputs=$1
outputs=$2
shift 2
adb shell mkdir -p $folder
adb push "$(dirname "$0")/../bin/{symbol}-run" $folder/run
adb push "$inputs" $folder/inputs.bin
adb shell "cd $folder && chmod 700 run && ./run inputs.bin outputs.bin $*"
adb pull $folder/outputs.bin "$outputs"
adb shell rm -r $folder
"""

_ADB_BUILDS = """\
#!/bin/sh
# Builds the runner with Android's native kit (ANDROID_NDK) and runs the network on the telephone that adb is connected
# to: run_with_adb.sh INPUTS.bin OUTPUTS.bin [OPTIONS...]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=/data/local/tmp/edgec-{symbol}
inputs=$1
outputs=$2
shift 2
toolchain=$ANDROID_NDK/build/cmake/android.toolchain.cmake
cmake -S "$here" -B "$here/build" -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DANDROID_ABI={abi} \\
    -DANDROID_PLATFORM=android-{api}
cmake --build "$here/build" --target {symbol}-run
adb shell mkdir -p $folder
adb push "$here/build/{symbol}-run" $folder/run
adb push "$inputs" $folder/inputs.bin
adb shell "cd $folder && chmod 700 run && EDGEC_GPU_CACHE=$folder/cache ./run inputs.bin outputs.bin $*"
adb pull $folder/outputs.bin "$outputs"
adb shell rm -r $folder
"""
