#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mutation checks: each entry is one small wrong change of the program and the one test that must fail of it.

Run as a program (`make mutants`) it makes the changes in a copy of the source, one at a time, builds what the test needs and runs
the test: a mutant that survives, or whose text is gone, is a failure. tests/test_mutants.py checks in every run of the tests
that each text still occurs exactly once and that each test exists. A change of code that touches an entry changes the entry.
"""
import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# test: "tests/test_x.py::name", with parameters where one of them is enough, or "test_x:case" of a C program.
Mutant = collections.namedtuple("Mutant", "what file old new test")
PYRAMID = "tests/test_pyramid.py::test_every_level_is_the_mean_of_the_one_below"
MOVED = "tests/test_moved.py::test_"
CHANGE = "tests/test_input_change.py::test_"
QUOTING = "tests/test_quoting.py::test_"
CONFIG = "tests/test_config.py::test_"
RETRY = "tests/test_retry.py::test_"
DURABLE = "tests/test_durable.py::test_"
TIFF = "tests/test_tiff.py::test_"
DIALECTS = "tests/test_tiff_dialects.py::test_"

MUTANTS = [
    # ---- the pyramid
    Mutant("pairs are cut off, not rounded", "src/filter/downsample.c", "sum[i] = (wide)1 << log;", "sum[i] = 0;", f"{PYRAMID}[uint16-plane-0.5]"),
    Mutant("edges are cut off, not rounded", "src/filter/downsample.c", "(type)HALF_UP(wide, sum, k);", "(type)(sum / k);", f"{PYRAMID}[int16-plane-0.5]"),
    Mutant("an odd edge counts as two voxels", "src/filter/downsample.c",
           "const wide k = (wide)((last - first) * set->count);", "const wide k = (wide)(fx * set->count);", f"{PYRAMID}[uint8-stack-0.4]"),
    Mutant("every second voxel instead of the mean", "src/filter/downsample.c",
           "sum[i] += (wide)from[2L * i] + (wide)from[2L * i + 1];", "sum[i] += 2 * (wide)from[2L * i];", f"{PYRAMID}[uint8-movie-0.5]"),
    Mutant("float: the first row only", "src/filter/downsample.c",
           "sum += (double)((const type *)(const void *)set->row[r])[x];",
           "sum += r == 0 ? set->count * (double)((const type *)(const void *)set->row[r])[x] : 0;", f"{PYRAMID}[float32-all-0.5]"),
    Mutant("verify pools no level again", "src/run/verify.c", "k < v->out->levels; k++)\n        ok = verify_level", "k < 1; k++)\n        ok = verify_level",
           "tests/test_pyramid.py::test_a_wrong_voxel_of_an_upper_level_is_found"),
    # ---- the promise of memory
    Mutant("one buffer to write is not promised", "src/plan/memory.c", "b->slots * (pages(b->in) + pages(b->out))",
           "(b->slots * pages(b->in) + (b->slots - 1) * pages(b->out))", "test_promise:runs_do_with_what_was_promised"),
    Mutant("jobs of the pyramid are not promised", "src/plan/memory.c", "for (int32_t k = first; k < PEL__MAX_LEVELS; k++)\n        most",
           "for (int32_t k = first; k < 1; k++)\n        most", "test_promise:runs_do_with_what_was_promised"),
    Mutant("levels below a block have no buffer", "src/plan/memory.c", "b.lower = lower_voxels(p, &out)", "b.lower = 0 * lower_voxels(p, &out)",
           "test_promise:runs_do_with_what_was_promised"),
    Mutant("types of the other images do not count", "src/plan/memory.c", "if (q->images[i]->dtype != q->dtype)", "if (q->images[0]->dtype != q->dtype)",
           "tests/test_mixed_types.py::test_every_image_is_read_by_its_own_type[uint16-uint8-float32]"),
    Mutant("every image is read by the first one's type", "src/run/job.c", "job.level == 0 ? run->images[job.image]->dtype", "job.level == 0 ? run->images[0]->dtype",
           "tests/test_mixed_types.py::test_every_image_is_filtered_as_if_it_were_alone[uint16-uint8-float32-median]"),
    Mutant("a halo one voxel short", "src/run/buffers.c", "before, after);\n    return pel__region_grow(block", "before, after);\n    before[PEL_Y] -= before[PEL_Y] > 0;\n    return pel__region_grow(block",
           "tests/test_pipeline.py::test_a_block_is_read_with_all_of_its_halo[median]"),
    Mutant("what the host program holds does not count", "src/plan/memory.c", "pel__max(BASE_BYTES, held_bytes)", "BASE_BYTES + 0 * held_bytes",
           "test_promise:what_a_large_host_holds_counts"),
    Mutant("the first block stands for all", "src/plan/plan.c", "return pel__min(blocks_along(p, axis), 2 * edge + PERIOD);", "return pel__min(1, edge);",
           "test_promise:runs_do_with_what_was_promised"),
    Mutant("only the nearest control group counts", "src/core/limits.c", "for (size_t n = strlen(folder); n >= least; n--)",
           "for (size_t n = strlen(folder); n >= strlen(folder); n--)", "test_limits:every_tree_gives_its_least_limit"),
    Mutant("windows of checksum know no limit", "src/run/scan.c", "pel__min(PEL__SCAN_BYTES, room / fewer.threads / PARTS / PAGE * PAGE)", "PEL__SCAN_BYTES",
           "test_scan:little_memory_gives_the_same"),
    Mutant("the threads of checksum know no limit", "src/run/scan.c", "fewer.threads > 1 &&", "false &&", "test_scan:little_memory_gives_the_same"),
    Mutant("reading takes no memory", "src/run/room.c", "pel__mul(threads, sources[i]->thread_bytes, &one)", "pel__mul(threads, 0, &one)",
           "tests/test_memory.py::test_what_cannot_be_read_below_the_limit_is_refused"),
    # ---- what a source says
    Mutant("--strict counts harmless notes too", "src/source/note.c", "more += !n->harmless;", "more++;",
           "tests/test_notes.py::test_strict_counts_what_else_there_is"),
    Mutant("--strict is not heard", "src/source/source.c", "if (own.strict && ", "if (false && ", "tests/test_notes.py::test_strict_refuses_what_is_missing[info]"),
    Mutant("a run ends without the notes", "cli/runs.c", "    if (ok)\n        print_run_notes", "    if (false)\n        print_run_notes",
           "tests/test_notes.py::test_notes_are_told_wherever_a_run_is"),
    Mutant("every image has its notes to itself", "src/run/notes.c", "if (is_same(o, n) || ", "if (", "tests/test_notes.py::test_the_same_note_of_many_images_stands_once"),
    # ---- what a Zarr store names and does not have
    Mutant("holes of a plate are not told", "src/source/zarr.c", "paths->holes > 0 && i <", "false && i <", "tests/test_zarr_kinds.py::test_plates_with_holes[well-0.4]"),
    Mutant("a collection ends at its first gap", "src/source/zarr_paths.c", "#define MOST_GAP_NEAR 64", "#define MOST_GAP_NEAR 0",
           "tests/test_zarr_kinds.py::test_collections_with_gaps"),
    Mutant("a dangling link is an absent chunk", "src/zarr/store_folder.c", "still_there(store, err) && no_dangling_link(store, path, err)", "still_there(store, err)",
           "tests/test_zarr_kinds.py::test_dangling_links_are_no_fill_value"),
    Mutant("only the chunk itself may be a dangling link", "src/zarr/store_folder.c", "if (lstat(path, &st) != 0)\n            continue;", "if (lstat(path, &st) != 0)\n            return true;",
           "tests/test_zarr_kinds.py::test_dangling_links_are_no_fill_value"),
    Mutant("foreign files pass for chunks", "src/zarr/array_look.c", "if (strtoll(key, &end, 10) >= pel__ceil_div(a->shape[i], a->chunk[i]))", "if (strtoll(key, &end, 10) < 0)",
           "tests/test_zarr_kinds.py::test_no_chunk_at_all_is_told"),
    Mutant("consolidated metadata go before the array's own", "src/zarr/array_meta.c", "node->stale = own && pel__json_differs", "node->stale = own && false && pel__json_differs",
           "tests/test_remote.py::test_stale_consolidated_metadata"),
    # ---- rare codecs
    Mutant("what lies behind a bz2 stream is overlooked", "src/codec/chunk_rare.c", "r == BZ_STREAM_END && s.avail_in == 0", "r == BZ_STREAM_END",
           "tests/test_zarr_codecs.py::test_damage_is_found"),
    Mutant("lzma takes what memory its stream asks for", "src/codec/chunk_rare.c", "(uint64_t)pel__lzma_decode_bytes(step), 0)", "UINT64_MAX, 0)",
           "tests/test_zarr_codecs.py::test_a_dictionary_beyond_its_preset"),
    Mutant("checksums are always behind", "src/codec/chunk_codec.c", "*at + (step->first ? 4 : 0)", "*at + (step->first ? 0 : 0)", "tests/test_zarr_codecs.py::test_v2_bytes"),
    Mutant("differences are not signed", "src/codec/chunk_filter.c", "return has_sign(t->dtype) ? (bits ^ top) - top : bits;", "return bits;", "tests/test_zarr_codecs.py::test_v2_filters"),
    Mutant("delta after a transpose sums along the wrong axis", "src/zarr/chain_parse.c", "if (p->delta && !in_order(chain, p))", "if (false)",
           "tests/test_zarr_codecs.py::test_v3_filters"),
    # ---- where voxels lie
    Mutant("a selection stays at the whole's place", "src/core/image.c", "(double)image->origin[a] * step[a]", "0 * step[a]",
           "tests/test_zarr_space.py::test_parts_of_a_zarr"),
    Mutant("the translation is forgotten", "src/core/image.c", "place[a] = image->place[a] +", "place[a] = 0 * image->place[a] +",
           "tests/test_zarr_space.py::test_a_lower_level_lies_where_the_file_says"),
    Mutant("a scale without a unit is 1", "src/core/image.c", "image->scale[a] > 0 ? image->scale[a] : 1", "1", "tests/test_zarr_space.py::test_a_time_axis_too"),
    Mutant("an absent scale is 1 micrometre", "src/source/zarr_space.c", "!p.scaled && could_tell(pel__zarr_axes(multiscale, dataset))", "false",
           "tests/test_zarr_space.py::test_what_is_not_understood_is_unknown"),
    Mutant("the translation comes after the scale above", "src/source/zarr_space.c", "scale ? p->shift[i] * v[i] :", "scale ? p->shift[i] :",
           "tests/test_zarr_space.py::test_scale_and_place_are_kept"),
    # ---- damaged tiles
    Mutant("a damaged tile shows what lies below", "src/source/czi_read.c", "    paint_zeros(j, cut(tile_rect(&j->czi->tiles[tile]), j->roi));\n    return true;", "    return true;",
           "tests/test_damaged.py::test_a_damaged_tile_hides_what_lies_below[y=64,x=64]"),
    Mutant("the rule for damaged tiles is not in the plan", "src/run/document.c", '", damaged zero"', '""', "tests/test_damaged.py::test_the_rule_is_part_of_the_run"),
    Mutant("blocks with damaged tiles are not counted", "src/run/job.c", ".damaged = slot->damaged > 0,", ".damaged = false,", "tests/test_damaged.py::test_one_damaged_tile_does_not_block_the_rest[bad_zstd]"),
    Mutant("zeros of damaged tiles go into the noise", "src/run/estimate.c", "if (pel__damage_count(source->damage) != before)", "if (false)",
           "tests/test_damaged.py::test_the_filter_and_the_noise_do_without_them"),
    Mutant("short tiles are not counted", "src/source/czi_read.c", "if (raw && sub.data_size < ", "if (false && sub.data_size < ", "tests/test_damaged.py::test_short_payloads_are_counted"),
    Mutant("a damaged inner chunk is not zero", "src/zarr/array.c", "pel__strided_fill(&s, address(r, &part), zero);", "(void)s;",
           "tests/test_damaged.py::test_other_formats_follow_the_same_rule[z=1,y=64,x=64-bad_inner_chunk-]"),
    Mutant("rows behind the end of a TIFF file are not zero", "src/source/tiff_read.c", "if (!pel__damage_take(w->damage, piece, &why))", "if (true)",
           "tests/test_damaged.py::test_an_uncompressed_tiff_that_was_cut_off[z=1,y=32,x=32-strip]"),
    Mutant("every slice of a series is the second", "src/source/czi_stack.c", "tile - czi->stacks[low].first + 1", "1", "tests/test_czi_dialects.py::test_a_series_in_each_tile[lines-T]"),
    Mutant("the order of a series' axes is not looked at", "src/source/czi_directory.c", "planar != 2 || ", "false || ", "tests/test_czi_dialects.py::test_series_that_are_not_sure_are_refused[first]"),
    Mutant("a gray channel beside colour is tripled", "src/source/czi_image.c", "(start[g + 1] ? most : 1)", "most", "tests/test_czi_dialects.py::test_gray_beside_colour_is_one_channel[True]"),
    Mutant("a short stream is forgotten once it is decoded", "src/source/czi_cache.c", "*form = s->form;", "*form = s->form & PEL__CZI_HILO;",
           "tests/test_damaged.py::test_short_payloads_are_counted[zstd]"),
    Mutant("seconds are taken for days", "src/source/czi_times.c", "if (day > 0 && fabs(first - day) <= 2)", "if (true)", "tests/test_czi_dialects.py::test_the_frame_interval"),
    Mutant("every stamp is a frame", "src/source/czi_times.c", "data + 8 + 8 * tracks * (count - 1)", "data + 8 + 8 * (count - 1)", "tests/test_czi_dialects.py::test_the_frame_interval"),
    Mutant("rows read together are not turned", "src/source/czi_read.c", "(stored_row(t, y + i) - first) * row", "i * row", "tests/test_czi_dialects.py::test_streamed_tiles_turned"),
    # ---- noise that neighbours share
    Mutant("averages of shared noise vary as those of white noise", "src/filter/ndsafir.c", "return (float)sqrt(noise->low_frequency);", "return noise->gain > 0 ? 1.0f : 1.0f;",
           "tests/test_correlated.py::test_the_power_is_what_averages_go_by"),
    Mutant("the line of the emptiest frequencies stays", "src/run/estimate.c", "bool ok = tilt_line(&line, source, s, err) && ", "bool ok = ",
           "tests/test_correlated.py::test_as_good_as_with_the_true_model[demosaiced]"),
    # ---- outputs look right
    Mutant("the lowest level is not read to its end", "src/run/display.c", "for (int64_t i = 0; i < cells; i += step)", "for (int64_t i = 0; i < 1; i += step)",
           "tests/test_display.py::test_range_of_64_bits[int64]"),
    Mutant("negative floats are in the wrong order", "src/run/display.c", "bits & sign ? ~bits & (sign | (sign - 1)) : bits | sign", "bits | sign",
           "tests/test_display.py::test_range_is_that_of_the_output[float32]"),
    Mutant("dog keeps the input's display range", "src/run/display.c", "return !pel__pipeline_makes_float(run->pipeline) && run->dtype", "return run->dtype",
           "tests/test_display.py::test_other_grey_values_have_another_range[dog-uint16]"),
    Mutant("a range beside the data is kept", "src/run/display.c", "c->window_start < w->max && c->window_end > w->min;", "true;",
           "tests/test_display.py::test_a_range_that_shows_nothing_is_not_kept[5000-60000]"),
    Mutant("blocks of several channels have one range", "src/run/job.c", "channels > 1 ? (int32_t)channels : 0", "0 * (int32_t)channels",
           "tests/test_display.py::test_range_does_not_depend_on_blocks_or_who_worked"),
    Mutant("only the root's document is finished", "src/sink/omezarr_docs.c", "return i == 0 || put_task(arg, i, worker, err);", "return true;",
           "tests/test_display.py::test_every_image_of_a_collection_has_its_own"),
    Mutant("images are called by the file's name of today", "src/run/document.c", "        if (name)\n            (void)snprintf(image->name", "        if (false)\n            (void)snprintf(image->name",
           "tests/test_display.py::test_names_and_sizes_are_those_of_the_file"),
    Mutant("sizes keep stray digits", "src/core/number.h", "unit == 1 ? value : pel__rounded(value * unit)", "value * unit",
           "tests/test_display.py::test_names_and_sizes_are_those_of_the_file"),
    Mutant("sizes lose digits of the file", "src/core/number.h", "unit == 1 ? value : ", "unit == 0 ? value : ", "tests/test_display.py::test_a_size_in_micrometres_keeps_all_digits"),
    Mutant("the cloud goes to the attributes", "src/run/provenance.c", 'strcmp(name, "cloud") != 0', "true", "tests/test_display.py::test_provenance_is_for_programs_too"),
    # ---- the audit
    Mutant("a checksum does not see the place", "src/codec/hash.c", "strlen(place) + 1);", "0);",
           "tests/test_audit.py::test_checksums_of_equal_contents_differ_by_their_place"),
    Mutant("a checksum does not bind the run", "src/codec/hash.c", "if (run[0])", "if (false)", "tests/test_audit.py::test_checksums_bind_the_run"),
    Mutant("records of other runs count", "src/run/ledger.c", "return !foreign && !future;", "return !future;",
           "tests/test_audit.py::test_records_of_another_run_do_not_count[output and ledger-5]"),
    Mutant("records of the far future count", "src/run/ledger.c", "return !foreign && !future;", "return !foreign;",
           "tests/test_audit.py::test_records_of_the_far_future_do_not_count[9223372036854775807]"),
    Mutant("a record may leave out what has values", "src/run/expect.c", "&& !out->hollow;", ";",
           "tests/test_audit.py::test_a_file_is_not_left_out_because_a_record_says_so[False]"),
    Mutant("the checksum of what is left out is not compared", "src/run/audit.c", "e->damaged = pel__document_run(a->run->document)[0] &&", "e->damaged = false &&",
           "tests/test_audit.py::test_an_upper_level_is_not_left_out_because_a_record_says_so"),
    Mutant("files go into stores", "src/core/output_file.c", "if (pel__inside_store(folder, sizeof folder, path))", "if (false)",
           "tests/test_places.py::test_no_file_goes_into_a_store_or_among_the_books_of_a_run[phantom]"),
    Mutant("files go among the books of any run", "src/core/output_file.c", "|| is_of_input(folder, rule) ||", "|| true ||",
           "tests/test_places.py::test_no_file_goes_into_a_store_or_among_the_books_of_a_run[picture]"),
    Mutant("links that lead nowhere are followed", "src/run/apart.c", "if (k < 0)\n        return true;", "if (k < (ssize_t)sizeof target)\n        return true;",
           "tests/test_places.py::test_links_that_lead_nowhere_are_refused_first"),
    Mutant("a run lies in another's folder", "src/run/apart.c", "return pel__location_relation(&a, &b) == PEL__SAME ||", "return true ||",
           "tests/test_places.py::test_nothing_lies_in_the_folder_of_another_run"),
    Mutant("a name begins a line", "cli/cli.c", "end; end = strchr(text, '\\n')", "false; end = strchr(text, '\\n')", "tests/test_messages.py::test_names_of_files_begin_no_line"),
    Mutant("a job in JSON goes to another output", "cli/script_json.c", "ok = d && check_utf8(j, d, err)", "ok = d != NULL && (check_utf8(j, d, err) || true)", "tests/test_documents.py::test_a_job_in_json_refuses_names_in_no_utf_8[aws-batch]"),
    Mutant("the state's disk is not looked at", "src/run/apart.c", "bytes_free / RECORD < plan->job_count", "false", "tests/test_places.py::test_no_room_for_the_state_is_told_first[size=64k-64 KiB are free there]"),
    Mutant("marks of direction pass", "cli/terminal.c", "if (g->count == 3 && h[0] == 0xE2", "if (g->count == 4 && h[0] == 0xE2",
           "tests/test_messages.py::test_names_of_files_command_no_terminal"),
    Mutant("a store without a name is not seen on S3", "src/zarr/store_around.c", "if (!has_document(up, remote))", "if (true)",
           "tests/test_remote_write.py::test_an_output_is_apart_from_its_input_on_s3[deep/plain]"),
    Mutant("checksums are not compared", "src/run/audit.c", "pel__digest_equal(&f->digest, &file->digest)", "true",
           "tests/test_audit.py::test_a_shard_at_the_wrong_place_is_found_and_written_again[exchange]"),
    Mutant("the numbers of older ledgers are not compared", "src/run/audit.c", "return f->crc32c == file->crc32c;", "return true;",
           "tests/test_audit.py::test_ledgers_of_older_versions_are_audited[flip]"),
    Mutant("the quick audit passes other lengths", "src/run/audit.c", "e->damaged = f.bytes != e->file.bytes;", "e->damaged = false;",
           "tests/test_audit.py::test_other_lengths_are_found_before_work_begins"),
    Mutant("an error of the late write is overlooked", "src/run/job.c", "ok ? err : NULL) && ok;", "ok ? err : NULL) || ok;",
           "tests/test_faults.py::test_an_error_of_the_late_write_is_no_success[rename-1-0.5]"),
    Mutant("records are not held against the plan", "src/run/audit.c", "if (pel__run_expects(a->run, record, &u))", "if (pel__run_expects(a->run, record, &u) || true)",
           "tests/test_faults.py::test_a_record_lists_the_files_of_its_block_and_no_others[level 0 less]"),
    Mutant("records that have gone are not missed", "src/run/audit.c", "return gone == 0 ||", "return gone >= 0 ||",
           "tests/test_faults.py::test_records_of_an_earlier_process_are_missed_when_they_go"),
    Mutant("a torn line takes the next along", "src/run/ledger.c", 'l->torn ? "\\n" : ""', '""',
           "tests/test_faults.py::test_a_torn_line_does_not_take_the_next_along"),
    Mutant("altered documents pass", "src/sink/omezarr_docs.c", "? OTHER : RIGHT;\n    }", "? RIGHT : RIGHT;\n    }",
           "tests/test_documents.py::test_altered_values_are_found_and_put_right[shape]"),
    Mutant("a lost document is not missed", "src/sink/omezarr_docs.c", ".missing = f->state == ABSENT,", ".missing = false,",
           "tests/test_documents.py::test_all_documents_lost_at_once"),
    Mutant("recorded documents are held against today's", "src/sink/omezarr_docs.c", "if (ok && known && pel__digest_equal", "if (ok && !known && pel__digest_equal",
           "tests/test_documents.py::test_documents_of_an_older_version_are_right_as_they_were_recorded"),
    Mutant("another's store is taken for a harmed one", "src/sink/omezarr_docs.c", "(d->spec->ours && root->of_this_run) ||", "d->spec->ours ||",
           "tests/test_documents.py::test_what_is_not_ours_is_not_taken_for_a_lost_output[zarr.json]"),
    Mutant("names with zeros before pass for shards", "src/sink/omezarr_docs.c", "return strcmp(again, key) == 0;", "return again[0] != 0;",
           "tests/test_documents.py::test_what_does_not_belong_is_named[0.5-0/c/0/0/0/0/00]"),
    # ---- job scripts and what people write for them
    Mutant("script: Slurm's blanks are not kept together", "cli/quote.c", "const bool marks = !quote_is_plain(text);", "const bool marks = false;",
           f"{QUOTING}a_nasty_folder_is_said_or_refused[slurm]"),
    Mutant("script: a per cent sign is a pattern", "cli/quote.c", "if (*text == '%' && path)", "if (false)", f"{QUOTING}a_nasty_folder_is_said_or_refused[slurm]"),
    Mutant("script: a comma begins another path of Grid Engine", "cli/quote.c", 'return strpbrk(text, ",:") ?', "return false ?",
           f"{QUOTING}a_nasty_folder_is_said_or_refused[sge]"),
    Mutant("script: HTCondor replaces a macro", "cli/quote.c", "if (*at == '$' && begins_macro(at))", "if (false)", f"{QUOTING}a_nasty_folder_is_said_or_refused[htcondor]"),
    Mutant("script: control characters pass", "cli/quote.c", "if (c < 32 || c == 127)", "if (false)", f"{QUOTING}control_characters_are_refused_everywhere[pbs]"),
    Mutant("script: Kubernetes replaces $(NAME)", "cli/script_json.c", "*word == '$' && two_dollars", "false", f"{QUOTING}a_nasty_folder_is_said_or_refused[kubernetes]"),
    Mutant("script: a directive may take the command", "cli/script_json.c", "!json_object_equal(found, ours)", "false",
           f"{CONFIG}a_path_never_destroys_the_manifest[containers[0].command.0=sh-command]"),
    Mutant("script: a list gives way to anything", "cli/json_path.c", "if (holds && ", "if (false && ", f"{CONFIG}a_path_never_destroys_the_manifest[containers=x-replace a list]"),
    Mutant("script: aliases cost nothing", "cli/yaml.c", "if (!count(r, r->anchors[i].nodes))", "if (false)", f"{CONFIG}aliases_cannot_multiply"),
    Mutant("script: no prologue", "cli/script.c", '(void)fprintf(to, "%s\\n", j->prologue->items[i]);', ";", f"{CONFIG}the_prologue_is_done_before_the_program"),
    # ---- schedulers
    Mutant("cluster: any end of squeue is an answer", "cli/jobs_query.c", "return room && ran && (a->end.status == 0 ||", "return room && ran && (a->end.status >= 0 ||",
           "tests/cluster/test_scheduler_faults.py::test_no_scheduler_gets_more_jobs_than_were_allowed_whatever_it_answers"),
    Mutant("cluster: what is not listed has ended", "cli/scaling.c", "? missed - s->missed_least : missed;", "? missed - s->missed_least : 0;",
           "test_scaling:jobs_that_nobody_mentions_end_by_patience_only_and_come_back"),
    Mutant("cluster: an unknown state is an end", "cli/job_states.c", "strstr(tables[i].ended, padded) ? JOB_ENDED : JOB_HELD;", "JOB_ENDED;",
           "test_scaling:every_state_but_an_end_is_alive"),
    # ---- moving, and other versions
    Mutant("numeric versions are not compared on resume", "src/run/document.c", "if (strcmp(was, is) == 0 || (!read_alike && strcmp(name, \"input\") == 0))",
           "if (strcmp(was, is) == 0 || strcmp(name, \"numeric version\") == 0)", f"{MOVED}numbers_of_another_version_are_refused_but_audited"),
    Mutant("windows of another version's numbers are compared", "src/run/verify.c", "if (v->run->other_numbers || (level == 0", "if ((level == 0",
           f"{MOVED}numbers_of_another_version_are_refused_but_audited"),
    Mutant("a moved input is not recorded", "src/run/work.c", "((run->resumed && !run->moved) ||", "(run->resumed ||",
           f"{MOVED}the_same_command_records_where_the_input_is_now"),
    Mutant("a plan without its input is believed", "src/run/setup.c", "if (!pel__plan_is_sound(&run->plan.images[i]))", "if (i < 0)",
           f"{MOVED}a_plan_that_cannot_be_checked_against_the_input_must_be_sound[factor1]"),
    Mutant("on a full disk nothing is said", "src/run/status.c", " || write_in_place(folder, text, piece[0].n)", " || false", "tests/test_stops.py::test_a_disk_without_one_byte_left"),
    Mutant("a manager that was killed is no reason", "src/run/status.c", "settle_manager(s, folder);", "s->reason[0] = 0;", "tests/test_stops.py::test_a_manager_that_was_killed"),
    Mutant("an old verdict ends a new job", "cli/cluster_status.c", " || (v->at > 0 && v->at < last->sign)", " || false",
           "tests/test_stops.py::test_a_part_that_its_scheduler_ended[TIMEOUT]"),
    Mutant("what ended a run is never taken back", "cli/verb_work.c", "(void)pel_run_note_stop(w->output, \"\", NULL);", "(void)pel_run_note_stop(w->output, \"before\", NULL);",
           "tests/test_stops.py::test_a_part_that_its_scheduler_ended[TIMEOUT]"),
    Mutant("an output that is gone is done", "src/run/status.c", "s->blocks_done > 0 && is_gone(s->output)", "s->blocks_done < 0",
           f"{MOVED}status_says_that_the_output_is_gone"),
    # ---- seams, types, resuming
    Mutant("a damaged record counts", "src/run/ledger.c", "if (*end != '\\0' || (uint32_t)crc != pel__crc32c(0, line + 9, n - 9))", "if (*end != '\\0')",
           "tests/test_run.py::test_damaged_ledger_record_is_not_believed"),
    Mutant("clipped voxels are not counted", "src/run/job.c", "slot->clipped += c.band[i].clipped;", "(void)i;",
           "tests/test_run.py::test_narrower_type_saturates_and_is_counted"),
    # ---- an input that changes
    Mutant("the input is not looked at again", "src/run/input.c", "if (strcmp(was, is) != 0)", "if (false)",
           f"{CHANGE}a_file_that_changes_is_told[grow-a.tif]"),
    Mutant("other files of a set are not looked at", "src/source/tiff.c", "keep_other(s, t->set.files[i].path);", "(void)i;",
           f"{CHANGE}every_file_of_a_set_is_looked_at"),
    Mutant("chunks are not looked at again", "src/run/input.c", "return chunks_hold(run, err);", "return true;",
           f"{CHANGE}chunks_that_change_are_told_and_their_blocks_done_again[renamed]"),
    Mutant("blocks that read a changed chunk stay", "src/run/input.c", "if (!pel__region_empty(&both) &&", "if (pel__region_empty(&read) &&",
           f"{CHANGE}chunks_that_change_are_told_and_their_blocks_done_again[removed]"),
    Mutant("the selection does not shift the place of a chunk", "src/source/view.c", "here.origin[a] -= p->v->axes[a].begin;", "here.origin[a] += 0;",
           f"{CHANGE}chunks_of_a_selection_and_of_positions"),
    Mutant("levels above changed blocks stay", "src/run/input.c", "if (!withdraw_range(c, p->first_pyramid[k], p->pyramid_count[k]))", "if (k < 0)",
           f"{CHANGE}levels_above_a_changed_block_are_made_again"),
    # ---- TIFF files as they are
    Mutant("a file that is not there is the one at hand", "src/source/tiff_ome.c", "if (!names_other(r, &d[i]) || d[i].uuid == OTHER)", "if (false)",
           f"{TIFF}ome_set_of_two_with_the_other_missing[named-all words]"),
    Mutant("differences are taken for values", "src/source/tiff_dir.c", "else if (g->predictor != 1 && ", "else if (false && ",
           f"{TIFF}a_predictor_that_libtiff_does_not_undo_is_refused_by_name[2-packbits]"),
    Mutant("pages that nobody names are dropped", "src/source/tiff_stack.c", "ok = r.kind[g] != g || add_kind(t, &r, g, words, err);",
           "ok = r.kind[g] != g || words || add_kind(t, &r, g, words, err);", f"{DIALECTS}ome_pages_that_the_xml_does_not_name_are_an_image"),
    Mutant("STK: a series in time is a stack", "src/source/tiff_stk.c", "distances || same ? 'z'", "true ? 'z'", f"{DIALECTS}stk_planes_and_words[distances2-times2-t-size2]"),
    Mutant("LSM: positions are more planes", "src/source/tiff_lsm.c", "i < l->positions && (i == 0 || i * each < n)", "i < 1", f"{DIALECTS}lsm_positions_are_images"),
    Mutant("tifffile: the axes are not looked at", "src/source/tiff_shaped.c", "if (!take_axes(s, page_axis) || !s->said) {", "if (true) {", f"{DIALECTS}tifffile_axes[CTZYX]"),
    Mutant("sizes: the fastest axis comes first", "src/source/tiff.c", "t->given_order[i] = slow_first[2 - i];", "t->given_order[i] = slow_first[i];",
           f"{DIALECTS}axes_with_sizes[--input-axes-plain-z=5,t=4,c=3]"),
    Mutant("ScanImage: one channel", "src/source/tiff_scanimage.c", "s->size[1] = channels;", "s->size[1] = 1;", f"{DIALECTS}scanimage_that_stopped_between_channels"),
    Mutant("OME: names lead out of the folder", "src/source/tiff_ome.c", "if (strncmp(p, \"..\", 2) == 0 &&", "if (false &&",
           f"{DIALECTS}ome_companion_never_leaves_its_folder[../s.tif]"),
    Mutant("packed samples: the lowest bit comes first", "src/source/tiff_meta.c", "held = held << 8 | *row++;", "held |= (uint32_t)*row++ << bits;",
           f"{TIFF}samples_of_few_bits[None-layout0-<-12]"),
    Mutant("QPTIFF: channels are planes", "src/source/tiff_qptiff.c", "s.size[1] = s.count;", "s.size[2] = s.count;", f"{DIALECTS}qptiff_pages_are_channels"),
    Mutant("ImageJ: minutes are seconds", "src/source/tiff_imagej.c", "every > 0.0 ? every * seconds :", "every > 0.0 ? every :",
           f"{DIALECTS}imagej_calibration[minutes]"),
    # ---- what lasts through a power cut
    Mutant("folders of shards are not synced", "src/sink/omezarr_write.c", "on_file, arg, err)) && pel__store_sync(s->store, err);", "on_file, arg, err));",
           f"{DURABLE}each_record_follows_its_files_and_their_folders"),
    Mutant("a file that is renamed is not noted", "src/zarr/store_write.c", "w->unsynced || !w->store->folders || pel__folders_note(w->store->folders, w->path, err);",
           "true;", f"{DURABLE}each_record_follows_its_files_and_their_folders"),
    Mutant("files are renamed without a sync", "src/zarr/store_write.c", "w->unsynced || fdatasync(w->fd) == 0;", "true;",
           f"{DURABLE}each_record_follows_its_files_and_their_folders"),
    Mutant("folders above are not synced", "src/core/folders.c", "bool ok = add_above(f, err);", "bool ok = true;",
           f"{DURABLE}each_new_folder_is_synced_into_the_one_above_before_a_record_needs_it"),
    Mutant("the ledger's folder is not synced", "src/run/ledger.c", "pel__parents_sync(l->path, 3, lost, err)", "pel__parents_sync(l->path, 0, lost, err)",
           f"{DURABLE}the_books_last_before_the_first_record"),
    Mutant("plan.json's folder is not synced", "src/run/document.c", " && pel__parents_sync(path, 2, &lost, err);", ";", f"{DURABLE}the_books_last_before_the_first_record"),
    Mutant("a record is not synced", "src/run/ledger.c", "if (ok && fdatasync(l->fd) != 0) {", "if (false) {", f"{DURABLE}each_record_follows_its_files_and_their_folders"),
    Mutant("a folder is synced once a file", "src/core/folders.c", "if (strcmp(f->list[i - 1], folder) == 0)", "if (false)", f"{DURABLE}a_folder_is_synced_once_a_job"),
    # ---- syncs that fail for a reason that passes
    Mutant("files that a failed sync lost are not written again", "src/zarr/store_write.c", "if (!ok && pel__passes(reason))", "if (false)",
           f"{RETRY}a_sync_that_fails_once_has_the_bytes_written_again[fdatasync-/out.ome.zarr/1/-1-EIO]"),
    Mutant("a sync that failed is made again", "src/zarr/store_write.c", "w->unsynced || fdatasync(w->fd) == 0;", "w->unsynced || fdatasync(w->fd) == 0 || fdatasync(w->fd) == 0;",
           f"{RETRY}a_sync_that_fails_once_has_the_bytes_written_again[fdatasync-/out.ome.zarr/1/-1-EIO]"),
    Mutant("a full disk passes", "src/core/retry.c", "{EINTR, ESTALE,", "{EINTR, ENOSPC, ESTALE,", f"{RETRY}a_sync_that_goes_on_failing_is_told[ENOSPC-1]"),
    Mutant("a folder that failed is synced again, its files not written", "src/core/folders.c", "*lost = status != 0 && pel__passes(number);\n    return status == 0 ||",
           "*lost = false;\n    return status == 0 || fsync(open(path, O_RDONLY | O_CLOEXEC)) == 0 ||", f"{RETRY}after_a_folder_that_cannot_be_synced_its_files_are_written_again"),
    Mutant("a record that is written again is as old as the first", "src/run/ledger.c", "r.at_us = pel__max(now_us(), r.at_us + 1);", "if (!r.at_us || r.at_us == before) r.at_us = now_us();",
           f"{RETRY}a_record_whose_sync_fails_is_written_again_and_counts_once[fdatasync:EIO:2@3:/ledger/]"),
]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def stale(root, mutants=None):
    """What is wrong with the list itself."""
    found = []
    for m in MUTANTS if mutants is None else mutants:
        count = read(root, m.file).count(m.old) if os.path.exists(os.path.join(root, m.file)) else 0
        if count != 1:
            found.append(f"{m.file}: \"{m.old}\" ({m.what}) occurs {count} times, expected once: change the entry in tests/mutants.py")
        if m.old == m.new or m.new in m.old and m.old.count(m.new) > 1:
            found.append(f"{m.what}: the change changes nothing")
        if not test_exists(root, m.test):
            found.append(f"{m.what}: no test {m.test}")
    return found


def test_exists(root, test):
    if test.startswith("tests/"):
        path, _, name = test.partition("::")
        return re.search(rf"^def {re.escape(name.split('[')[0])}\(", read(root, path), re.M) is not None
    program, _, case = test.partition(":")
    return f"CASE({case})" in read(root, f"tests/{program}.c")


# What Python tests start beside pellucid itself.
HELPERS = ("src/codec/pellucid-jxr", "src/pellucid-manager", "src/pellucid-tls", "tests/tool_phantom")


class Yard:
    """A copy of the source with a build of its own, in which one file at a time is changed and put back."""

    def __init__(self, folder, venv):
        self.root, self.build, self.python = folder, os.path.join(folder, "build"), os.path.join(venv, "bin", "python")
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if not os.path.exists(target) or read_bytes(target) != read_bytes(os.path.join(ROOT, name)):
                shutil.copyfile(os.path.join(ROOT, name), target)
                shutil.copymode(os.path.join(ROOT, name), target)
        if not os.path.exists(os.path.join(self.build, "build.ninja")):
            subprocess.run(["meson", "setup", self.build], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    def make(self, test):
        program = test.partition(":")[0]
        targets = ["pellucid", *filter(self.knows, HELPERS)] if test.startswith("tests/") else [f"tests/{program}"]
        return subprocess.run(["ninja", "-C", self.build, *targets], capture_output=True, text=True)

    def knows(self, target):
        return f"build {target}:" in read(self.build, "build.ninja")

    def passes(self, test, seconds):
        """True: it ran and passed; False: it ran and failed (or hung); None: it did not run."""
        env = {**os.environ, "PELLUCID": os.path.join(self.build, "pellucid"), "PELLUCID_BUILD": self.build}
        env.setdefault("PELLUCID_SHARED", os.path.join(os.path.dirname(ROOT), "shared"))
        try:
            if test.startswith("tests/"):
                done = subprocess.run([self.python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test], cwd=self.root, env=env,
                                      capture_output=True, text=True, timeout=seconds)
                self.output = done.stdout
                return {0: "skipped" not in done.stdout or None, 1: False}.get(done.returncode)
            program, _, case = test.partition(":")
            done = subprocess.run([os.path.join(self.build, "tests", program)], cwd=self.root, env=env, capture_output=True, text=True,
                                  errors="replace", timeout=seconds)
            self.output = done.stdout
            return f"\nok {case}\n" in "\n" + done.stdout and (done.returncode == 0 or f"FAIL {case}" not in done.stdout)
        except subprocess.TimeoutExpired:
            self.output = f"no end after {seconds} s"
            return False


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


def try_mutant(yard, m):
    """A word for what became of it; "killed" is the right one."""
    path = os.path.join(yard.root, m.file)
    whole = read(yard.root, m.file)
    if whole.count(m.old) != 1:
        return "its text is gone"
    try:
        with open(path, "w", encoding="utf-8") as f:
            f.write(whole.replace(m.old, m.new))
        made = yard.make(m.test)
        if made.returncode != 0:
            return "does not compile:\n" + "\n".join(line for line in made.stdout.splitlines() if "error" in line)
        return {True: "SURVIVES", False: "killed", None: f"its test did not run:\n{yard.output[-1500:]}"}[yard.passes(m.test, 300)]
    finally:
        with open(path, "w", encoding="utf-8") as f:
            f.write(whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", default=os.path.join(ROOT, "build", "venv"), help="Python of the tests")
    parser.add_argument("--yard", help="folder of the copy, kept for the next time (default: a temporary one)")
    parser.add_argument("words", nargs="*", help="only mutants whose description, file or test holds one of these")
    args = parser.parse_args()
    chosen = [m for m in MUTANTS if not args.words or any(w in " ".join(m) for w in args.words)]
    bad = stale(ROOT, chosen)
    folder = args.yard or tempfile.mkdtemp(prefix="pellucid-mutants-")
    try:
        yard = Yard(os.path.abspath(folder), os.path.abspath(args.venv))
        for test in sorted({m.test for m in chosen}):  # a test that fails by itself kills nothing
            if yard.make(test).returncode != 0 or yard.passes(test, 300) is not True:
                bad.append(f"{test}: does not pass without a change:\n{getattr(yard, 'output', 'no build')[-1500:]}")
        for m in chosen if not bad else []:
            start = time.monotonic()
            word = try_mutant(yard, m)
            print(f"{word.splitlines()[0]:10} {time.monotonic() - start:5.1f} s  {m.file}: {m.what}", flush=True)
            if word != "killed":
                bad.append(f"{m.file}: {m.what}: {word} ({m.test})")
    finally:
        if not args.yard:
            shutil.rmtree(folder)
    print("\n".join(bad))
    print(f"{len(chosen)} mutants, {len(bad)} troubles")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
