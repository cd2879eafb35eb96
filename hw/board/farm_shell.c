/* A shell for a board that a TVM RPC server stands on: one function in TVM's calling convention, uploaded and loaded by
 * edgec/measure/farm_shell.py. It is linked with nothing; `system` is that of the C library of the server's process, so
 * the same file serves glibc, musl and Android. */

#include <stdint.h>

#include <tvm/ffi/c_api.h>

int system(const char *command);

static const char *text_of(const TVMFFIAny *value) {
    switch (value->type_index) {
    case kTVMFFIRawStr:
        return value->v_c_str;
    case kTVMFFISmallStr:
        return value->v_bytes;
    case kTVMFFIStr:
        return ((const TVMFFIByteArray *)((const char *)value->v_obj + sizeof(TVMFFIObject)))->data;
    default:
        return 0;
    }
}

/* Runs a command and returns its exit status, 128 and more for a signal, as a shell says it; -1 where none was run. */
int32_t __tvm_ffi_edgec_shell(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {
    const char *command = count == 1 ? text_of(arguments) : 0;
    int status = command ? system(command) : -1;
    (void)self;
    if (status > 0) status = status & 127 ? 128 + (status & 127) : status >> 8 & 255;
    result->type_index = kTVMFFIInt;
    result->v_int64 = status;
    return 0;
}
