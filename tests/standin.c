// Stands in for the CUDA driver: Triton's own driver class and launchers load and launch through it, and nothing runs. It says what a
// device of compute capability 9.0 would, and writes each call that matters as a line of JSON into the file that STANDIN_RECORD names.
//
// On request, by variables of the environment that are read at every call:
//   STANDIN_MULTIPROCESSORS          of the device (132)
//   STANDIN_CONTEXT_MULTIPROCESSORS  that a context may use, as under a limit of MPS or in a green context (those of the device)
//   STANDIN_BLOCKS                   of a kernel that a multiprocessor takes (what threads and shared memory leave room for)
//   STANDIN_SPILLS                   bytes of local memory of a thread, of every kernel (0)

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"

enum { PARAMETERS = 1024, PLAIN = 48 * 1024, OPTIN = 227 * 1024, PER_MULTIPROCESSOR = 228 * 1024, RESERVED = 1024, THREADS = 2048 };

typedef struct {
    const unsigned char* image;
} Module;

typedef struct {
    char name[512];
    int count, sizes[PARAMETERS], shared;  // bytes of shared memory that were asked for
} Function;

static CUcontext current;
static int context;  // whose address is every context's

static int setting(const char* name, int otherwise) {
    const char* value = getenv(name);
    return value && *value ? atoi(value) : otherwise;
}

static int multiprocessors(void) { return setting("STANDIN_MULTIPROCESSORS", 132); }
static int usable(void) { return setting("STANDIN_CONTEXT_MULTIPROCESSORS", multiprocessors()); }

static void record(const char* format, ...) {
    const char* path = getenv("STANDIN_RECORD");
    FILE* file = path && *path ? fopen(path, "a") : NULL;
    if (!file) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fclose(file);
}

CUresult cuInit(unsigned flags) { return CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int* version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
    *text = error == CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE ? "too many blocks in cooperative launch" : "error of the stand-in";
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = multiprocessors(); break;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = PLAIN; break;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = OPTIN; break;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = PER_MULTIPROCESSOR; break;
        case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: *value = 65536; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
        case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH: *value = 1; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* found, CUdevice device) {
    *found = (CUcontext)&context;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { return CUDA_SUCCESS; }

CUresult cuCtxGetCurrent(CUcontext* found) {
    *found = current;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext made) {
    current = made;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice* device) {
    *device = 0;
    return current ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuCtxGetExecAffinity(CUexecAffinityParam* found, CUexecAffinityType type) {
    found->type = type;
    found->param.smCount.val = usable();
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevResource(CUcontext of, CUdevResource* found, CUdevResourceType type) {
    memset(found, 0, sizeof *found);
    found->type = type;
    found->sm.smCount = usable();
    return CUDA_SUCCESS;
}

CUresult cuCtxGetLimit(size_t* value, CUlimit limit) {
    *value = 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) { return CUDA_SUCCESS; }

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

// Every pointer is taken for one to the device, as those of tensors on the CPU are here.
CUresult cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr pointer) {
    *(CUdeviceptr*)value = pointer;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
    Module* made = malloc(sizeof *made);
    made->image = image;  // Triton's binary lives until the functions were found in it
    *module = (CUmodule)made;
    record("{\"call\": \"cuModuleLoadData\"}\n");
    return memcmp(image, "\177ELF", 4) ? CUDA_ERROR_INVALID_IMAGE : CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module) {
    free(module);
    return CUDA_SUCCESS;
}

// A kernel's parameters, as its section .nv.info.NAME of the ELF file says: entries of four bytes (format, attribute, size) and, of format
// 4, so many more; attribute 0x17 is a parameter: its index in two bytes at 4, its size in the high 14 bits of the word at 8.
static void parameters(const unsigned char* image, Function* of) {
    uint64_t sections, offset, size;
    uint16_t width, count, names;
    memcpy(&sections, image + 40, 8);
    memcpy(&width, image + 58, 2);
    memcpy(&count, image + 60, 2);
    memcpy(&names, image + 62, 2);
    memcpy(&offset, image + sections + names * width + 24, 8);
    const char* text = (const char*)image + offset;
    for (int k = 0; k < count; k++) {
        const unsigned char* section = image + sections + k * width;
        uint32_t name;
        memcpy(&name, section, 4);
        if (strncmp(text + name, ".nv.info.", 9) || strcmp(text + name + 9, of->name)) continue;
        memcpy(&offset, section + 24, 8);
        memcpy(&size, section + 32, 8);
        for (const unsigned char *at = image + offset, *end = at + size; at < end;) {
            uint16_t bytes, index;
            uint32_t word;
            memcpy(&bytes, at + 2, 2);
            if (at[0] == 4 && at[1] == 0x17) {
                memcpy(&index, at + 8, 2);
                memcpy(&word, at + 12, 4);
                if (index < PARAMETERS) of->sizes[index] = word >> 18;
                if (index >= of->count) of->count = index + 1;
            }
            at += 4 + (at[0] == 4 ? bytes : 0);
        }
    }
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    Function* made = calloc(1, sizeof *made);
    snprintf(made->name, sizeof made->name, "%s", name);
    parameters(((Module*)module)->image, made);
    *function = (CUfunction)made;
    record("{\"call\": \"cuModuleGetFunction\", \"function\": \"%s\", \"parameters\": %d}\n", name, made->count);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function) {
    switch (attribute) {
        case CU_FUNC_ATTRIBUTE_NUM_REGS: *value = 64; break;
        case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *value = setting("STANDIN_SPILLS", 0); break;
        case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    const char* name = ((Function*)function)->name;
    record("{\"call\": \"cuFuncSetAttribute\", \"function\": \"%s\", \"attribute\": %d, \"value\": %d}\n", name, attribute, value);
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) ((Function*)function)->shared = value;
    return attribute > CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuFuncSetCacheConfig(CUfunction function, CUfunc_cache config) { return CUDA_SUCCESS; }

static int blocks(int threads, size_t shared) {
    int by_threads = THREADS / threads, by_shared = (int)(PER_MULTIPROCESSOR / (shared + RESERVED));
    return setting("STANDIN_BLOCKS", by_threads < by_shared ? by_threads : by_shared);
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* found, CUfunction function, int threads, size_t shared) {
    const char* call = "cuOccupancyMaxActiveBlocksPerMultiprocessor";
    *found = blocks(threads, shared);
    record("{\"call\": \"%s\", \"function\": \"%s\", \"threads\": %d, \"shared\": %zu}\n", call, ((Function*)function)->name, threads, shared);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveClusters(int* found, CUfunction function, const CUlaunchConfig* config) {
    *found = 0;
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** values, void** extra) {
    const Function* of = (const Function*)function;
    unsigned grid = config->gridDimX * config->gridDimY * config->gridDimZ;
    int cooperative = 0;
    char attributes[256] = "", *hex = calloc(1, 1 << 20), *end = hex;
    for (unsigned k = 0; k < config->numAttrs; k++) {
        cooperative |= config->attrs[k].id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && config->attrs[k].value.cooperative;
        sprintf(attributes + strlen(attributes), "%s%d", k ? ", " : "", config->attrs[k].id);
    }
    for (int k = 0; k < of->count; k++) {
        end += sprintf(end, k ? ", \"" : "\"");
        for (int byte = 0; byte < of->sizes[k]; byte++) end += sprintf(end, "%02x", ((unsigned char*)values[k])[byte]);
        end += sprintf(end, "\"");
    }
    record(
        "{\"call\": \"cuLaunchKernelEx\", \"function\": \"%s\", \"grid\": %u, \"threads\": %u, \"shared\": %u, \"stream\": %llu, "
        "\"cooperative\": %s, \"attributes\": [%s], \"values\": [%s]}\n",
        of->name, grid, config->blockDimX, config->sharedMemBytes, (unsigned long long)config->hStream, cooperative ? "true" : "false",
        attributes, hex);
    free(hex);
    if (config->sharedMemBytes > PLAIN && (int)config->sharedMemBytes > of->shared) return CUDA_ERROR_INVALID_VALUE;
    unsigned most = (unsigned)(blocks(config->blockDimX, config->sharedMemBytes) * usable());
    return cooperative && grid > most ? CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE : CUDA_SUCCESS;
}
