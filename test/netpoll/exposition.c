/* Reads an exposition line by line; the first thing that is wrong ends it. */
#include "exposition.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct exposition *out;
    const char *at;
    size_t line;
};

static bool wrong(struct reader *reader, const char *what)
{
    snprintf(reader->out->error, sizeof reader->out->error, "line %zu: %s, at \"%.40s\"",
             reader->line, what, reader->at);
    return false;
}

static bool take(struct reader *reader, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(reader->at, word, n) != 0)
        return false;
    reader->at += n;
    return true;
}

/* A name of a metric, or of a label, which has no colon. */
static bool take_name(struct reader *reader, char into[EXPOSITION_NAME], bool is_label)
{
    size_t n = 0;
    for (;; n++) {
        char c = reader->at[n];
        bool is_letter = isalpha((unsigned char)c) || c == '_' || (c == ':' && !is_label);
        if (!is_letter && (n == 0 || !isdigit((unsigned char)c)))
            break;
    }
    if (n == 0 || n >= EXPOSITION_NAME)
        return wrong(reader, "no name");
    memcpy(into, reader->at, n);
    into[n] = '\0';
    reader->at += n;
    return true;
}

static bool take_label_value(struct reader *reader, char into[EXPOSITION_VALUE])
{
    size_t n = 0;
    if (!take(reader, "\""))
        return wrong(reader, "a value begins with a quote");
    for (; *reader->at != '"'; reader->at++) {
        if (*reader->at == '\0' || *reader->at == '\n' || n + 1 >= EXPOSITION_VALUE)
            return wrong(reader, "the value does not end");
        char c = *reader->at;
        if (c == '\\') {
            c = *++reader->at;
            if (c != '\\' && c != '"' && c != 'n')
                return wrong(reader, "an escape that there is not");
            if (c == 'n')
                c = '\n';
        }
        into[n++] = c;
    }
    into[n] = '\0';
    reader->at++;
    return true;
}

static bool take_labels(struct reader *reader, struct exposition_sample *sample)
{
    if (!take(reader, "{"))
        return true;
    do {
        if (sample->label_count == EXPOSITION_LABELS)
            return wrong(reader, "too many labels");
        struct exposition_label *label = &sample->labels[sample->label_count++];
        if (!take_name(reader, label->name, true))
            return false;
        if (!take(reader, "="))
            return wrong(reader, "a label without a value");
        if (!take_label_value(reader, label->value))
            return false;
    } while (take(reader, ","));
    return take(reader, "}") || wrong(reader, "the labels do not end");
}

static struct exposition_family *find_family(struct exposition *out, const char *name)
{
    for (size_t i = 0; i < out->family_count; i++) {
        if (strcmp(out->families[i].name, name) == 0)
            return &out->families[i];
    }
    return NULL;
}

/* The family of a comment: it has to be a new one, or the one before with no sample yet. */
static struct exposition_family *comment_family(struct reader *reader)
{
    struct exposition *out = reader->out;
    char name[EXPOSITION_NAME];
    if (!take_name(reader, name, false))
        return NULL;
    struct exposition_family *family = find_family(out, name);
    if (family == NULL) {
        if (out->family_count == EXPOSITION_FAMILIES)
            return NULL;
        family = &out->families[out->family_count++];
        memcpy(family->name, name, sizeof name);
    }
    if (family != &out->families[out->family_count - 1] || family->sample_count > 0) {
        wrong(reader, "a comment behind the samples of its family");
        return NULL;
    }
    return family;
}

static bool read_help(struct reader *reader)
{
    struct exposition_family *family = comment_family(reader);
    if (family == NULL)
        return false;
    if (family->has_help)
        return wrong(reader, "a second HELP");
    family->has_help = true;
    if (!take(reader, " ") || *reader->at == '\n')
        return wrong(reader, "no text");
    for (; *reader->at != '\n'; reader->at++) {
        if (*reader->at == '\\' && reader->at[1] != '\\' && reader->at[1] != 'n')
            return wrong(reader, "an escape that there is not");
    }
    return true;
}

static bool read_type(struct reader *reader)
{
    struct exposition_family *family = comment_family(reader);
    if (family == NULL)
        return false;
    if (family->type[0] != '\0')
        return wrong(reader, "a second TYPE");
    const char *end = strstr(family->name, "_total");
    bool is_total = end != NULL && end[6] == '\0';
    if (take(reader, " counter")) {
        snprintf(family->type, sizeof family->type, "counter");
        return is_total || wrong(reader, "a counter not named _total");
    }
    if (take(reader, " gauge")) {
        snprintf(family->type, sizeof family->type, "gauge");
        return !is_total || wrong(reader, "a gauge named _total");
    }
    return wrong(reader, "an unknown type");
}

static bool has_label(const struct exposition_sample *sample, const char *name, const char *value)
{
    for (size_t i = 0; i < sample->label_count; i++) {
        if (strcmp(sample->labels[i].name, name) == 0)
            return strcmp(sample->labels[i].value, value) == 0;
    }
    return false;
}

static bool is_same(const struct exposition_sample *a, const struct exposition_sample *b)
{
    if (a->family != b->family || a->label_count != b->label_count)
        return false;
    for (size_t i = 0; i < a->label_count; i++) {
        if (!has_label(b, a->labels[i].name, a->labels[i].value))
            return false;
    }
    return true;
}

static bool check_labels(struct reader *reader, const struct exposition_sample *sample)
{
    const struct exposition *out = reader->out;
    for (size_t i = 0; i < sample->label_count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(sample->labels[i].name, sample->labels[k].name) == 0)
                return wrong(reader, "a label twice");
        }
    }
    for (const struct exposition_sample *other = out->samples; other != sample; other++) {
        if (is_same(sample, other))
            return wrong(reader, "a sample twice");
    }
    return true;
}

static bool take_value(struct reader *reader, double *value)
{
    char *end;
    if (!take(reader, " "))
        return wrong(reader, "no value");
    if (isspace((unsigned char)*reader->at))
        return wrong(reader, "two spaces");
    *value = strtod(reader->at, &end);
    if (end == reader->at)
        return wrong(reader, "no number");
    reader->at = end;
    return true;
}

static bool read_sample(struct reader *reader)
{
    struct exposition *out = reader->out;
    char name[EXPOSITION_NAME];
    if (!take_name(reader, name, false))
        return false;
    struct exposition_family *family = find_family(out, name);
    if (family == NULL || family != &out->families[out->family_count - 1])
        return wrong(reader, "a sample away from its family");
    if (family->type[0] == '\0' || !family->has_help)
        return wrong(reader, "a sample before TYPE or HELP");
    if (out->sample_count == EXPOSITION_SAMPLES)
        return wrong(reader, "too many samples");
    struct exposition_sample *sample = &out->samples[out->sample_count];
    sample->family = (size_t)(family - out->families);
    if (!take_labels(reader, sample) || !take_value(reader, &sample->value) ||
        !check_labels(reader, sample))
        return false;
    if (sample->value < 0)
        return wrong(reader, "a figure below 0");
    family->sample_count++;
    out->sample_count++;
    return true;
}

bool exposition_read(struct exposition *out, const char *text, size_t n)
{
    struct reader reader = {.out = out, .at = text, .line = 1};
    memset(out, 0, sizeof *out);
    if (strlen(text) != n || n == 0)
        return wrong(&reader, "not so many bytes of text");
    for (; *reader.at != '\0'; reader.line++) {
        bool is_good = take(&reader, "# HELP ")   ? read_help(&reader)
                       : take(&reader, "# TYPE ") ? read_type(&reader)
                                                  : read_sample(&reader);
        if (!is_good)
            return out->error[0] != '\0' ? false : wrong(&reader, "too many families");
        if (!take(&reader, "\n"))
            return wrong(&reader, "the line does not end");
    }
    for (size_t i = 0; i < out->family_count; i++) {
        if (out->families[i].sample_count == 0)
            return wrong(&reader, "a family without samples");
    }
    return true;
}

static bool matches(const struct exposition *exposition, const struct exposition_sample *sample,
                    const char *family, const char *label, const char *value)
{
    return strcmp(exposition->families[sample->family].name, family) == 0 &&
           (label == NULL || has_label(sample, label, value));
}

const struct exposition_sample *exposition_find(const struct exposition *exposition,
                                                const char *family, const char *label,
                                                const char *value)
{
    for (size_t i = 0; i < exposition->sample_count; i++) {
        if (matches(exposition, &exposition->samples[i], family, label, value))
            return &exposition->samples[i];
    }
    return NULL;
}

double exposition_sum(const struct exposition *exposition, const char *family, const char *label,
                      const char *value)
{
    double sum = 0;
    for (size_t i = 0; i < exposition->sample_count; i++) {
        if (matches(exposition, &exposition->samples[i], family, label, value))
            sum += exposition->samples[i].value;
    }
    return sum;
}
