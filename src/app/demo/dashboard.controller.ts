import { Controller, Get, Header, NotFoundException, Param, Res } from '@nestjs/common';
import { Environment } from '../environment.js';
import { readDashboardAssets } from './dashboard.assets.js';
import { HOST_BUSINESS_TYPE, hostBusinessId } from './host.telemetry.js';

/** What the page may load: its own files and its own server's sockets, and nothing from anywhere else. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

interface HeaderResponse {
  setHeader(name: string, value: string): unknown;
}

/** The address of this machine's telemetry, and whether pushing needs the publish key. */
export interface DemoHost {
  readonly businessType: string;
  readonly businessId: string;
  readonly isPublishKeyNeeded: boolean;
}

@Controller()
export class DashboardController {
  private readonly assets = readDashboardAssets();

  constructor(private readonly environment: Environment) {}

  @Get()
  page(@Res({ passthrough: true }) response: HeaderResponse): string {
    return this.serve('index.html', response);
  }

  @Get('assets/:name')
  asset(@Param('name') name: string, @Res({ passthrough: true }) response: HeaderResponse): string {
    return this.serve(name, response);
  }

  @Get('demo/host')
  @Header('Cache-Control', 'no-store')
  host(): DemoHost {
    return {
      businessType: HOST_BUSINESS_TYPE,
      businessId: hostBusinessId(),
      isPublishKeyNeeded: this.environment.PUSH_PUBLISH_KEY !== undefined,
    };
  }

  private serve(name: string, response: HeaderResponse): string {
    const asset = this.assets.get(name);
    if (asset === undefined) throw new NotFoundException('the dashboard has no such file');
    for (const [header, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(header, value);
    // The entity tag that the server adds makes asking again cheap.
    response.setHeader('Cache-Control', 'no-cache');
    response.setHeader('Content-Type', asset.contentType);
    return asset.text;
  }
}
