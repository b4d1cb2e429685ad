/* Trains the digits network without Python: the step is the exported program `step`, this file is everything else.
 *
 *     train_digits STATE DATA EPOCHS THREADS
 *
 * STATE is step.safetensors, which is read, trained and written back; DATA is what graphc.examples.digits_in_c wrote: the
 * number of batches as int64, then for each batch its images and its labels. Prints the loss of each step, exactly.
 */
#include <stdio.h>
#include <stdlib.h>

#include "step.h"

enum { BATCH = 64, PIXELS = 64 };

static float images[BATCH * PIXELS];
static int32_t labels[BATCH];

static void *memory(size_t bytes) {
    void *const block = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!block) {
        fputs("train_digits: out of memory\n", stderr);
        exit(1);
    }
    return block;
}

static FILE *open_file(const char *path, const char *mode) {
    FILE *const file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

int main(int count, char **words) {
    if (count != 5) {
        fprintf(stderr, "usage: %s STATE DATA EPOCHS THREADS\n", words[0]);
        return 2;
    }
    void *const state = memory(STEP_STATE_BYTES);
    FILE *file = open_file(words[1], "r+b");
    if (fseek(file, STEP_HEADER_BYTES, SEEK_SET) || fread(state, 1, STEP_STATE_BYTES, file) != STEP_STATE_BYTES) {
        fprintf(stderr, "train_digits: %s is not the state of this program\n", words[1]);
        return 1;
    }

    const int threads = atoi(words[4]);
    step_program *const program = step_open(memory(STEP_MEMORY_BYTES(threads)), state, threads);
    if (!program) {
        fprintf(stderr, "train_digits: %s threads cannot be\n", words[4]);
        return 1;
    }
    FILE *const data = open_file(words[2], "rb");
    for (int epoch = 0; epoch < atoi(words[3]); epoch++) {
        int64_t batches = 0;
        rewind(data);
        if (fread(&batches, sizeof batches, 1, data) != 1)
            return 1;
        for (int64_t batch = 0; batch < batches; batch++) {
            float loss;
            if (fread(images, sizeof images, 1, data) != 1 || fread(labels, sizeof labels, 1, data) != 1)
                return 1;
            step_run(program, images, labels, &loss);
            printf("%a\n", (double)loss);
        }
    }
    fclose(data);
    step_close(program);
    fseek(file, STEP_HEADER_BYTES, SEEK_SET);
    fwrite(state, 1, STEP_STATE_BYTES, file);
    return fclose(file) ? 1 : 0;
}
