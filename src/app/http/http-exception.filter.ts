import { STATUS_CODES } from 'node:http';
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, HttpStatus, Logger } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import {
  AlarmNotAcceptedError,
  ClusterUnavailableError,
  EventIdConflictError,
  InvalidPushError,
  PayloadTooLargeError,
  PushError,
} from '../../push.errors.js';

/** The body of every answer that is not a success. */
export interface ErrorBody {
  readonly statusCode: number;
  /** A stable word. */
  readonly error: string;
  /** What to do about it. */
  readonly message: string;
  /** Path of what is wrong in the body or the query, in an array with its index: `[3].businessId`, `to.userName`. */
  readonly field?: string;
}

@Catch()
export class HttpExceptionFilter implements ExceptionFilter {
  private readonly logger = new Logger(HttpExceptionFilter.name);

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const { httpAdapter } = this.adapterHost;
    const response: unknown = host.switchToHttp().getResponse();
    const body = errorBody(exception);
    if (body.statusCode === HttpStatus.INTERNAL_SERVER_ERROR) {
      this.logger.error('a request failed', exception instanceof Error ? exception.stack : exception);
    }
    if (httpAdapter.isHeadersSent(response)) {
      httpAdapter.end(response);
      return;
    }
    if (body.statusCode === HttpStatus.UNAUTHORIZED) httpAdapter.setHeader(response, 'WWW-Authenticate', 'Bearer');
    httpAdapter.setHeader(response, 'Cache-Control', 'no-store');
    httpAdapter.reply(response, body, body.statusCode);
  }
}

function errorBody(exception: unknown): ErrorBody {
  if (exception instanceof PushError) {
    const statusCode = statusOf(exception);
    if (statusCode !== HttpStatus.INTERNAL_SERVER_ERROR) {
      const { code, message } = exception;
      const field = exception instanceof InvalidPushError ? { field: exception.field } : {};
      return { statusCode, error: code, message, ...field };
    }
  }
  if (exception instanceof HttpException) {
    const statusCode = exception.getStatus();
    return { statusCode, error: wordIn(exception.getResponse()) ?? wordOf(statusCode), message: exception.message };
  }
  return { statusCode: 500, error: wordOf(500), message: 'the request failed; the log of this node says why' };
}

function statusOf(error: PushError): HttpStatus {
  if (error instanceof InvalidPushError) return HttpStatus.BAD_REQUEST;
  if (error instanceof PayloadTooLargeError) return HttpStatus.PAYLOAD_TOO_LARGE;
  if (error instanceof EventIdConflictError) return HttpStatus.CONFLICT;
  if (error instanceof AlarmNotAcceptedError || error instanceof ClusterUnavailableError) {
    return HttpStatus.SERVICE_UNAVAILABLE;
  }
  return HttpStatus.INTERNAL_SERVER_ERROR;
}

/** The gateways' own words are stable; Nest's are the status in English. */
function wordIn(response: string | object): string | undefined {
  const word = (response as { error?: unknown }).error;
  return typeof word === 'string' && /^[a-z][A-Za-z]*$/.test(word) ? word : undefined;
}

/** `Not Found` → `notFound` */
function wordOf(statusCode: number): string {
  const [first = '', ...others] = (STATUS_CODES[statusCode] ?? 'error').split(/[ -]/);
  return first.toLowerCase() + others.join('');
}
